// Entry of a worker process and of a dialer process. Not imported; imports only the addon.
// CommonJS, because an ES module costs a worker 0.5 MB and a third of its start-up time.
// eslint-disable-next-line @typescript-eslint/no-require-imports -- a CommonJS file has no other.
import nodeModule = require('node:module');

interface Loops {
  runWorker(): number;
  runDialer(): number;
}

const [role, addonPath] = process.argv.slice(2);
const loops = nodeModule.createRequire(__filename)(addonPath ?? '') as Loops;
// Stays in the native loop until the manager says otherwise; no JavaScript runs meanwhile.
process.exit(role === 'dial' ? loops.runDialer() : loops.runWorker());
