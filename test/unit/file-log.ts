// The log in a directory passes the tests of all logs, in each mode.
import { readdirSync, rmSync } from 'node:fs';
import { basename } from 'node:path';

import t from 'tap';

import { crc32c } from '../../lib/log/crc32c.js';
import { testLog } from '../support/log-conformance.js';
import { LogSite } from '../support/log-site.js';

t.test('CRC-32C has the values of RFC 3720', (t) => {
  const rising = Buffer.from(Array.from({ length: 32 }, (_, index) => index));
  t.equal(crc32c(Buffer.alloc(32)), 0x8a9136aa);
  t.equal(crc32c(Buffer.alloc(32, 0xff)), 0x62a8ab43);
  t.equal(crc32c(rising), 0x46dd794e);
  t.equal(crc32c(rising, 5, 32, crc32c(rising, 0, 5)), 0x46dd794e, 'in two parts');
  t.equal(crc32c(Buffer.alloc(0)), 0);
  t.end();
});

for (const sync of ['group', 'always', 5] as const) {
  testLog({
    name: `a directory, sync ${sync}`,
    store: (t) => {
      // A few small entries each, so that some of them can be forgotten.
      const site = new LogSite(t, { sync, segmentBytes: 350 });
      return {
        make: () => site.make(),
        forget: (upTo) => {
          const firsts = site.files.map((file) => Number(basename(file, '.log')));
          const last = firsts.findIndex((first) => first > upTo);
          for (const file of site.files.slice(0, last)) rmSync(file);
          return Promise.resolve((firsts[last] ?? 0) - 1);
        },
        interrupt: () => {
          site.disk.faults.set('write', 'EIO');
          return Promise.resolve(() => {
            site.disk.faults.delete('write');
          });
        },
      };
    },
  });
}

t.test('an append makes few calls of the file system', async (t) => {
  const site = new LogSite(t);
  const { node } = await site.open();
  site.disk.calls.length = 0;
  await node.append('a');
  t.same(site.disk.calls, ['write', 'datasync']);
  t.equal(readdirSync(site.directory).length, 1);
});
