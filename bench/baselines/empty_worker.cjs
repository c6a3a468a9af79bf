// The bare worker that the memory figures are compared with: loads the addon named in argv[2], says
// `ready PID`, and sits in a blocking read until its stdin ends.
'use strict';

const fs = require('node:fs');
const path = require('node:path');

require(path.resolve(process.argv[2]));
fs.writeSync(1, `ready ${process.pid}\n`);

// Blocking, as a real worker blocks in its event loop: Node's own loop never turns, and nothing is
// allocated while the caller reads this process's private memory.
const buffer = Buffer.alloc(256);
while (fs.readSync(0, buffer) > 0);
