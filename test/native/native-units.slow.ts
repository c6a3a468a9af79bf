// The native code's unit tests under AddressSanitizer and UndefinedBehaviorSanitizer: all native code
// is compiled again with them, which takes minutes.
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
