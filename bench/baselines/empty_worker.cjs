// The bare worker of the memory comparison: loads the addon argv[2], prints `ready PID`, and blocks
// in a read until its stdin ends.
'use strict';

const fs = require('node:fs');
const path = require('node:path');

require(path.resolve(process.argv[2]));
fs.writeSync(1, `ready ${process.pid}\n`);

// Blocks like a real worker in its event loop: Node's own loop does not run, so nothing is
// allocated while the caller reads this process's private memory.
const buffer = Buffer.alloc(256);
while (fs.readSync(0, buffer) > 0);
