// `megacomet-ts history verify`: one line for each segment, and the offset of each fault.
import { readFileSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';

import t from 'tap';

import type { SegmentResult } from '../../lib/log/verify-log.js';
import { run } from '../support/helpers.js';
import { LogSite } from '../support/log-site.js';

t.test('a history is checked, and the first fault has its segment and offset', async (t) => {
  const site = new LogSite(t, { segmentBytes: 400 });
  const { node, log } = await site.open();
  for (let index = 0; index < 9; index += 1) await node.append(`entry ${index}`);
  const verify = (...more: string[]): ReturnType<typeof run> =>
    run(['history', 'verify', site.directory, ...more]);
  const during = await verify();
  t.equal(during.code, 0, 'while the log is in use');
  await log.close();
  const { code, stdout, stderr } = await verify();
  t.equal(code, 0);
  t.equal(stderr, '');
  const lines = stdout.trim().split('\n');
  t.equal(lines.length, site.files.length);
  t.match(lines[0], /^0000000000000001\.log: ok, 0\.0 MiB, entries 1 to \d, \d{4}-.*Z to .*Z$/);

  const [first = ''] = site.files;
  const bytes = readFileSync(first);
  const at = bytes.indexOf('entry 1');
  const record = bytes.lastIndexOf('MCE\x01', at);
  bytes.writeUInt8(0, at);
  writeFileSync(first, bytes);
  const damaged = await verify();
  t.equal(damaged.code, 1);
  t.match(damaged.stdout, /^0000000000000001\.log: damaged, /);
  const fault = `${basename(first)}: at byte ${record}: the checksum of entry 2 is wrong`;
  t.equal(damaged.stdout.split('\n')[1], fault);

  const asJson = await verify('--json');
  t.equal(asJson.code, 1);
  const results = asJson.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as SegmentResult);
  t.equal(results.length, site.files.length);
  t.match(results[0], { segment: basename(first), first: 1, faults: [{ offset: record }] });
  t.match(results[1], { faults: [], epoch: /^[0-9a-f]{16}$/ });
});

t.test('a directory without a history, and an unknown action, are errors', async (t) => {
  const site = new LogSite(t);
  const rows: [string[], number, RegExp][] = [
    [['verify', site.directory], 1, /history-dir: ".*" cannot be read: no such file or directory/],
    [['verify', '/proc/self'], 1, /history-dir: ".*" has no history/],
    [['repair', site.directory], 2, /history: "repair" is not verify/],
    [['verify'], 2, /missing required argument/],
  ];
  for (const [args, wanted, message] of rows) {
    const { code, stderr } = await run(['history', ...args]);
    t.equal(code, wanted, args.join(' '));
    t.match(stderr, message);
  }
});
