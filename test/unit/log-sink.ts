// The end of the log, with a reader that reads, stands still, and goes away.
import t from 'tap';

import { LogSink, logLinesDropped } from '../../lib/base/log-sink.js';

const KIB = 1024;

/** A reader that takes as many bytes as it is given room for. */
class Reader {
  text = '';
  room = Infinity;
  failure: string | undefined;

  readonly write = (_fd: number, bytes: Buffer, offset: number): number => {
    const code = this.failure ?? (this.room === 0 ? 'EAGAIN' : undefined);
    if (code !== undefined) throw Object.assign(new Error(code), { code });
    const part = bytes.subarray(offset, offset + Math.min(this.room, bytes.length));
    this.room -= part.length;
    this.text += part.toString();
    return part.length;
  };
}

t.test('lines of a reader that stands still are queued, then dropped and counted', (t) => {
  const reader = new Reader();
  const reports: number[] = [];
  const sink = new LogSink({
    fd: 1,
    onDropped: (lines) => reports.push(lines),
    write: reader.write,
  });
  sink.write('first\n');
  t.equal(reader.text, 'first\n', 'a line is written before write() returns');
  reader.room = 3;
  sink.write('second\n');
  sink.write('third\n');
  t.equal(reader.text, 'first\nsec', 'the rest waits');
  const before = logLinesDropped();
  const line = `${'x'.repeat(KIB - 1)}\n`;
  for (let count = 0; count < 2 * KIB; count++) sink.write(line);
  const dropped = logLinesDropped() - before;
  t.ok(
    dropped > KIB && dropped < KIB + 10,
    `a mebibyte is kept, the others are dropped: ${dropped}`,
  );
  t.same(reports, [], 'nothing is reported without a reader');
  reader.room = Infinity;
  sink.flushSync();
  t.match(reader.text, /^first\nsecond\nthird\nx/, 'in their order, none torn');
  t.equal(reader.text.length, 'first\nsecond\nthird\n'.length + (2 * KIB - dropped) * KIB);
  t.same(reports, [dropped], 'the loss is reported once');
  t.end();
});

t.test('queued lines are written when the reader reads again, without another line', async (t) => {
  const reader = new Reader();
  reader.room = 0;
  const sink = new LogSink({ fd: 1, onDropped: () => undefined, write: reader.write });
  sink.write('late\n');
  reader.room = Infinity;
  const timer = setInterval(() => undefined, 10);
  while (reader.text === '') await new Promise(setImmediate);
  clearInterval(timer);
  t.equal(reader.text, 'late\n');
});

t.test('a reader that is gone or stands still at the end does not hold the process', (t) => {
  const reader = new Reader();
  const sink = new LogSink({ fd: 1, onDropped: () => undefined, write: reader.write });
  const before = logLinesDropped();
  reader.failure = 'EPIPE';
  sink.write('lost\n');
  t.equal(logLinesDropped() - before, 1, 'a line without a reader is counted');
  reader.failure = undefined;
  sink.write('later\n');
  t.equal(reader.text, 'later\n');
  reader.room = 0;
  sink.write('never\n');
  sink.flushSync();
  t.equal(reader.text, 'later\n');
  t.end();
});

for (const failure of ['ENOSPC', 'EDQUOT', 'EIO']) {
  t.test(`lines wait while a disk fails with ${failure}, and none is torn or lost`, (t) => {
    const reader = new Reader();
    const sink = new LogSink({ fd: 1, onDropped: () => t.fail('a loss'), write: reader.write });
    reader.room = 4;
    sink.write('first\n');
    reader.failure = failure;
    sink.write('second\n');
    t.equal(reader.text, 'firs', 'the disk has a part of the line');
    reader.failure = undefined;
    reader.room = Infinity;
    sink.write('third\n');
    t.equal(reader.text, 'first\nsecond\nthird\n');
    t.end();
  });
}
