// The native code's unit tests under AddressSanitizer and UndefinedBehaviorSanitizer: all native code
// is compiled again with them, which takes minutes. The room tls/ is not among them: its tests need
// the OpenSSL of Node, and run inside a process of Node (tls-units.ts). test/support/sanitize.mjs runs
// whole servers with TLS under the sanitizers: handshakes, records, TLS 1.2, rejections, hostile peers.
import { runUnits } from '../support/native-units.js';

await runUnits({
  folder: 'build-native-sanitized',
  flags: [
    '-g',
    '-O1',
    '-fno-omit-frame-pointer',
    '-fsanitize=address,undefined',
    '-fno-sanitize-recover=all',
  ],
});
