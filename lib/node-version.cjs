// Whether this version of Node.js can run the package. Plain CommonJS, because three programs load it:
// the command and the check before a build, under any version, and the compiled library.
'use strict';

const { engines } = require('../package.json');

/**
 * Returns the reason if a version of Node.js is older than `engines` in package.json wants.
 *
 * @param {string} version - For example 20.5.1.
 * @returns {string | undefined}
 */
exports.reasonAgainstNode = (version = process.versions.node) => {
  const wanted = engines.node.replace('>=', '');
  const [major, minor] = version.split('.').map(Number);
  const [wantedMajor, wantedMinor] = wanted.split('.').map(Number);
  const isNewEnough = major === wantedMajor ? minor >= wantedMinor : major > wantedMajor;
  return isNewEnough ? undefined : `Node.js ${wanted} or newer is needed, and this is ${version}`;
};
