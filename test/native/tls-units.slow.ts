// The tests of the record layer with the OpenSSL of every line of Node, with a million random records
// for each of them: the one addon must do this with all.
import t from 'tap';

import { runUnitsInNode } from '../support/native-units.js';
import { installNode, temporaryFolder } from '../support/packages/make.js';

/** Two tests make this many for each of three suites. */
const RECORDS = Math.ceil(1_000_000 / 6);

const nodes = ['20', '22', '24', '26'].map((version) =>
  installNode(temporaryFolder(t), version, process.arch),
);
await runUnitsInNode(
  { folder: 'build-native-tls-tests', natives: 'addon', flags: ['-O0'] },
  nodes,
  { UNIT_RECORDS: String(RECORDS) },
);
