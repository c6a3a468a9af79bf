// The log in a directory with damaged files: each start reads the files anew, hundreds of times.
import { linkSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';

import t, { type Test } from 'tap';

import { HEADER_BYTES } from '../../lib/log/segment-format.js';
import { LogSite } from '../support/log-site.js';
import { seededRandom } from '../support/random.js';

/** The files of a site, to be put back with the same inodes: a log notices a copy. */
function savedFiles(t: Test, site: LogSite): () => void {
  const kept = mkdtempSync(`${site.directory}-`);
  const files = site.files.map((file) => ({
    file,
    link: join(kept, basename(file)),
    bytes: readFileSync(file),
  }));
  for (const { file, link } of files) linkSync(file, link);
  t.teardown(() => rmSync(kept, { recursive: true }));
  return () => {
    for (const file of site.files) rmSync(file);
    for (const { file, link, bytes } of files) {
      linkSync(link, file);
      writeFileSync(file, bytes);
    }
  };
}

t.test('a log that ends at any byte has the whole entries before it', async (t) => {
  const site = new LogSite(t);
  const texts = await site.writeEntries(2);
  const [file = ''] = site.files;
  const restore = savedFiles(t, site);
  const bytes = readFileSync(file);
  const problems: string[] = [];
  let before = texts.length;
  for (let length = bytes.length; length >= 0; length -= 1) {
    restore();
    writeFileSync(file, bytes.subarray(0, length));
    const { log, record, start, report, node } = await site.openWithReport();
    const next = await node.append('next');
    await record.reached(next);
    await log.close();
    const found = record.texts.slice(0, -1);
    const isPrefix = found.every((text, index) => text === texts[index]);
    const isWhole = length >= HEADER_BYTES;
    const isRight =
      isPrefix &&
      found.length <= before &&
      found.length >= before - 1 &&
      record.breaks.length === 0 &&
      start.head === found.length &&
      (isWhole ? next === found.length + 1 : next > texts.length) &&
      isWhole === (report.newEpoch === null) &&
      isWhole === (report.setAside.length === 0);
    if (!isRight) problems.push(`${length} bytes: ${found.length} entries, next ${next}`);
    before = found.length;
    for (const name of report.setAside) rmSync(`${name}.damaged`);
  }
  t.same(problems, []);
  t.equal(before, 0);
});

t.test('after the flip of any bit each entry is there, in a gap, or cut off', async (t) => {
  const random = seededRandom(t);
  const site = new LogSite(t, { segmentBytes: 300 });
  const texts = await site.writeEntries(12);
  const restore = savedFiles(t, site);
  t.ok(site.files.length >= 3);
  const outcomes = { error: 0, gap: 0, cut: 0, none: 0, epoch: 0 };
  for (let round = 0; round < 60; round += 1) {
    restore();
    const file = site.files[Math.floor(random() * site.files.length)] ?? '';
    const bytes = readFileSync(file);
    const at = Math.floor(random() * bytes.length);
    bytes[at] = (bytes[at] ?? 0) ^ (1 << Math.floor(random() * 8));
    writeFileSync(file, bytes);
    const label = `byte ${at} of ${basename(file)}`;
    const opened = await site.openWithReport().catch((error: unknown) => {
      t.match(error, { code: 'ERR_LOG', message: /^[^\n]+$/ }, label);
      return null;
    });
    if (opened === null) {
      outcomes.error += 1;
      continue;
    }
    const { log, record, node, start, report } = opened;
    await record.reached(await node.append('next'));
    await log.close();
    const inGap = (seq: number): boolean =>
      record.breaks.some((one) => one.kind === 'gap' && one.after < seq && seq <= one.to);
    const lost = texts.filter((text, index) => {
      const seq = index + 1;
      const entry = record.entries.find((one) => one.seq === seq);
      if (entry !== undefined) return entry.batch.toString() !== text;
      return !inGap(seq) && seq >= start.first && seq <= start.head;
    });
    t.same(lost, [], label);
    for (const name of report.setAside) rmSync(`${name}.damaged`);
    if (report.newEpoch !== null) outcomes.epoch += 1;
    else if (record.breaks.length > 0) outcomes.gap += 1;
    else if (report.cutBytes > 0) outcomes.cut += 1;
    else outcomes.none += 1;
  }
  t.comment(JSON.stringify(outcomes));
  t.ok(outcomes.gap > 0);
});
