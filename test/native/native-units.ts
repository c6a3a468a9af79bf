// The native code's unit tests, linked with the objects of the built addon: quick to compile, and
// they test the code that is shipped. native-units.slow.ts runs them under the sanitizers.
import { runUnits } from '../support/native-units.js';

await runUnits({ folder: 'build-native-tests', natives: 'addon', flags: ['-O0'] });
