// The tests of the record layer, with the OpenSSL of this Node. tls-units.slow.ts runs them with
// every line of Node, and with more records.
import { runUnitsInNode } from '../support/native-units.js';

await runUnitsInNode({ folder: 'build-native-tls-tests', natives: 'addon', flags: ['-O0'] }, [
  process.execPath,
]);
