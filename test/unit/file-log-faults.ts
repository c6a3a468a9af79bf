// The log in a directory after crashes, and with failing disks.
import {
  copyFileSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';

import t, { type Test } from 'tap';

import { BATCH_BYTES_MAX } from '../../lib/log/log.js';
import { crc32c } from '../../lib/log/crc32c.js';
import { HEADER_BYTES } from '../../lib/log/segment-format.js';
import { until } from '../support/helpers.js';
import type { LogRecord } from '../support/log-record.js';
import { LogSite } from '../support/log-site.js';
import { seededRandom } from '../support/random.js';

/** A lock that another log may take as well: the first stands for a process that was killed. */
const unlocked = { lock: () => openSync('/dev/null', 'r') };

t.test('a batch with the bytes of a segment is not taken for entries', async (t) => {
  const site = new LogSite(t);
  await site.writeEntries(2);
  const [file = ''] = site.files;
  const segment = readFileSync(file);
  rmSync(file);
  const { node, log } = await site.open();
  await node.append(segment);
  await node.append('behind');
  await log.close();
  const [written = ''] = site.files;
  const bytes = readFileSync(written);
  // The head of the first entry, so that its length is not known.
  bytes[HEADER_BYTES + 9] = 7;
  writeFileSync(written, bytes);
  const { record, start } = await site.open();
  await record.reached(2);
  t.same(record.texts, ['behind']);
  t.same(record.breaks, [{ kind: 'gap', after: 0, to: 1 }]);
  t.equal(start.head, 2);
});

t.test('acknowledged entries are written again after a failed fdatasync', async (t) => {
  const site = new LogSite(t, { sync: 1, ...unlocked });
  const { node, record } = await site.open();
  await node.append('synced');
  await until('the sync', () => site.disk.calls.filter((call) => call === 'datasync').length >= 2);
  const [old = ''] = site.files;
  const synced = statSync(old).size;
  site.disk.faults.set('datasync', 'EIO');
  await node.append('acknowledged');
  await until('the break', () => record.kinds.includes('down'));
  await t.rejects(node.try('meanwhile'), { code: 'ERR_LOG', message: /input\/output error/ });
  site.disk.faults.delete('datasync');
  await until('the end of the break', () => record.kinds.includes('up'));
  // The kernel has dropped the bytes that it could not write.
  t.ok(statSync(old).size <= synced, 'nothing of the old file counts from there on');
  await node.append('after');
  await until('the entry', () => record.texts.includes('after'));
  t.same(record.texts, ['synced', 'acknowledged', 'after']);
  const again = await site.open();
  await until('all entries', () => again.record.texts.includes('after'));
  t.same(again.record.texts, record.texts);
  t.same(again.record.seqs, record.seqs);
  t.equal(again.start.epoch, node.start.epoch);
});

t.test('a full disk rejects appends, and keeps no part of them', async (t) => {
  const site = new LogSite(t);
  const { node, record, log } = await site.open();
  await node.append('before');
  site.disk.room = 50;
  await t.rejects(node.try('x'.repeat(1000)), { message: /no space left on the device$/ });
  await t.rejects(node.try('y'), { message: /no space left on the device$/ }, 'at once');
  site.disk.room = Infinity;
  const seq = await node.append('after');
  t.equal(seq, 2, 'the position is not lost');
  await record.reached(seq);
  t.same(record.kinds, ['down', 'up']);
  await log.close();
  const again = await site.open();
  await again.record.reached(seq);
  t.same(again.record.texts, ['before', 'after']);
  t.same(again.record.breaks, []);
});

for (const sync of ['group', 'always', 1] as const) {
  t.test(`random faults lose and repeat no acknowledged entry, sync ${sync}`, async (t) => {
    const random = seededRandom(t);
    const site = new LogSite(t, { sync, segmentBytes: 2000, ...unlocked });
    const { node, record } = await site.open();
    const calls = ['write', 'datasync', 'truncate', 'rename', 'sync', 'open', 'rm'] as const;
    const codes = ['EIO', 'ENOSPC', 'EROFS'];
    const acknowledged = new Map<number, string>();
    let failed = 0;
    for (let round = 0; round < 40; round += 1) {
      const call = calls[Math.floor(random() * calls.length)] ?? 'write';
      if (random() < 0.5) site.disk.faults.set(call, codes[round % codes.length] ?? '');
      else site.disk.faults.clear();
      if (random() < 0.2) site.disk.room = Math.floor(random() * 3000);
      else site.disk.room = Infinity;
      const texts = [0, 1, 2, 3].map((index) => `${round} ${index} ${'.'.repeat(random() * 300)}`);
      await Promise.all(
        texts.map(async (text) => {
          await node.try(text).then(
            (seq) => acknowledged.set(seq, text),
            () => (failed += 1),
          );
        }),
      );
    }
    site.disk.faults.clear();
    site.disk.room = Infinity;
    const last = await node.append('last');
    acknowledged.set(last, 'last');
    await record.reached(last);
    t.comment(`${acknowledged.size} acknowledged, ${failed} failed`);
    t.ok(failed > 0);
    const check = (found: LogRecord, label: string): void => {
      const texts = new Map(found.entries.map(({ seq, batch }) => [seq, batch.toString()]));
      const wrong = [...acknowledged].filter(([seq, text]) => texts.get(seq) !== text);
      t.same(wrong, [], label);
      t.notOk(found.kinds.includes('gap'), label);
      t.same(
        found.seqs,
        Array.from({ length: last }, (_, index) => index + 1),
        label,
      );
    };
    check(record, 'while the log is open');
    const again = await site.open();
    await again.record.reached(last);
    check(again.record, 'after the process was killed');
    t.same(again.record.texts, record.texts, 'the same bytes at each position');
  });
}

t.test('an append that the disk holds fails in time, and its entry comes once', async (t) => {
  const site = new LogSite(t);
  const { node, record } = await site.open();
  const release = site.disk.hold('datasync');
  const first = node.nextId();
  const second = node.nextId();
  const rule = { code: 'ERR_LOG', message: /has not answered within 900 ms$/ };
  await Promise.all([
    t.rejects(node.try('held', first), rule),
    t.rejects(node.try('waiting', second), rule),
  ]);
  release();
  const seq = await node.appendAs(first, 'held');
  t.equal(seq, 1, 'the entry of the first try');
  t.equal(await node.appendAs(second, 'waiting'), 2, 'no write of it had begun');
  await record.reached(2);
  t.same(record.texts, ['held', 'waiting']);
});

t.test('an epoch ends when acknowledged entries may be missing', async (t) => {
  const [one, two] = ['1', '2'].map((digit) => digit.repeat(32)) as [string, string];
  const rows = [
    { sync: 60_000, closes: false, bootId: two, wanted: /^the machine stopped before/ },
    { sync: 60_000, closes: false, bootId: one, wanted: null },
    { sync: 60_000, closes: true, bootId: two, wanted: null },
    { sync: 'group', closes: false, bootId: two, wanted: null },
  ] as const;
  for (const { sync, closes, bootId, wanted } of rows) {
    const site = new LogSite(t, { sync, ...unlocked });
    const before = await site.open({ bootId: one });
    const head = await before.node.append('a');
    if (closes) await before.log.close();
    const { report, start, node, record } = await site.openWithReport({ bootId });
    const label = `${sync} ${closes} ${bootId}`;
    if (wanted === null) t.equal(report.newEpoch, null, label);
    else t.match(report.newEpoch, wanted, label);
    t.equal(start.epoch === before.start.epoch, wanted === null, label);
    t.equal(start.head, head);
    const next = await node.append('b');
    t.ok(wanted === null ? next === head + 1 : next > head + 1000, label);
    await record.reached(next);
    t.same(record.texts, ['a', 'b']);
    t.same(record.breaks, [], 'the reader knows the epoch');
  }
});

t.test('a copy of a directory begins a new epoch', async (t) => {
  const [site, copy] = [new LogSite(t), new LogSite(t)];
  const { node, log } = await site.open();
  await node.append('a');
  await log.close();
  mkdirSync(copy.directory);
  for (const file of site.files) copyFileSync(file, join(copy.directory, basename(file)));
  const { report, start, record } = await copy.openWithReport();
  t.equal(report.newEpoch, 'the directory is a copy');
  t.not(start.epoch, node.start.epoch);
  await record.reached(1);
  t.same(record.texts, ['a'], 'its messages are there');
});

t.test('whole segments are forgotten, by age and by bytes', async (t) => {
  let nowMs = 1_000_000;
  const limits = { segmentBytes: 1000, keepBytes: 5000, keepAgeMs: 60_000, nowMs: () => nowMs };
  const site = new LogSite(t, limits);
  const bytes = (): number => site.files.reduce((sum, file) => sum + statSync(file).size, 0);
  const { node, record, log } = await site.open();
  const write = async (count: number): Promise<void> => {
    for (let index = 0; index < count; index += 1) await node.append('x'.repeat(100));
  };
  await write(100);
  t.ok(bytes() >= 5000, 'the bytes that must be kept');
  t.ok(bytes() < 5000 + 2 * 1000 + 200, 'and two segments more at most');
  nowMs += 61_000;
  await write(10);
  t.equal(site.files.length <= 3, true, 'older ones are gone');
  await record.reached(110);
  await log.close();
  const again = await site.open({}, 50);
  t.ok(again.start.first > 90);
  await again.record.reached(110);
  t.same(again.record.breaks, [{ kind: 'gap', after: 50, to: again.start.first - 1 }]);
});

t.test('directories and files that cannot be used are errors of one sentence', async (t) => {
  const site = new LogSite(t);
  await site.writeEntries(1);
  const [file = ''] = site.files;
  const header = readFileSync(file);
  const newer = Buffer.from(header);
  newer.writeUInt32LE(2, 8);
  newer.writeUInt32LE(crc32c(newer, 0, 68), 68);
  const rejects = async (t: Test, message: RegExp, options = {}): Promise<void> => {
    await t.rejects(site.make(options).open(), { code: 'ERR_LOG', message });
  };
  writeFileSync(file, newer);
  await rejects(t, /was written by a newer version of megacomet-ts; this one reads format 1$/);
  writeFileSync(file, 'some other file'.repeat(9));
  await rejects(t, /is not a segment of a history: move it to another directory$/);
  writeFileSync(file, header);
  const { log } = await site.open();
  await rejects(t, /^history-dir: ".*" is in use by another server$/);
  await t.rejects(log.append(Buffer.alloc(BATCH_BYTES_MAX + 1), { node: 'n', count: 9 }, 0), {
    code: 'ERR_LOG',
    message: /cannot take 8388609 bytes at once$/,
  });
  await log.close();
  site.disk.faults.set('open', 'EROFS');
  await rejects(t, /cannot be used: the file system is read-only$/);
  site.disk.faults.clear();
  await rejects(t, /cannot be locked: /, { lock: () => -37 });
  const { node } = await site.open();
  t.equal(await node.append('b'), 2, 'errors change nothing');
});
