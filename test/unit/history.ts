// The history compared with a naive model that keeps everything: each gap must be reported.
import fc from 'fast-check';
import t from 'tap';

import type { HistoryLimits } from '../../lib/broker/history-limits.js';
import { History, type HistoryOptions } from '../../lib/broker/history.js';
import { NameHasher } from '../../lib/collections/name-hash.js';
import { messagesIn, publishFrame } from '../support/fakes/comet.js';

const SEED = 20_261_117;
const EPOCH = 7n;

const CHANNELS = ['a', 'b', 'news/1', 'news/2', 'news/', 'news/x/y', 'ä/ö', 'newsflash', '/'];
const PATTERNS = ['news/*', 'news/x/*', 'ä/*', 'none/*', '/*'];

interface Published {
  readonly number: number;
  readonly channel: string;
  readonly data: string;
  readonly expiresAtMs: number;
  /** Null if the message was not to be kept. */
  readonly limits: HistoryLimits | null;
}

/** A history, everything that was ever published, and the time of both. */
class Bench {
  nowMs = 0;
  readonly published: Published[] = [];
  readonly history: History;

  constructor(options: Partial<HistoryOptions> = {}) {
    this.history = new History({
      epoch: EPOCH,
      now: () => this.nowMs,
      bytesMax: 134_217_728,
      ...options,
    });
  }

  publish(channel: string, size: number, limits: HistoryLimits | null, ttlMs = Infinity): void {
    const number = this.history.head + 1;
    const data = `${number}${'.'.repeat(size)}`;
    const frame = publishFrame(number, channel, data);
    // The data does not begin at the start of its buffer, as in the broker.
    const source = Buffer.concat([Buffer.from('before'), frame, Buffer.from('behind')]);
    this.history.append(number, this.nowMs, channel, source, 6, 6 + frame.length, limits, ttlMs);
    const expiresAtMs = this.nowMs + Math.min(ttlMs, limits?.ageMs ?? 0);
    this.published.push({ number, channel, data, expiresAtMs, limits });
  }

  /** Requests page after page until the last, as a worker does. */
  catchUp(channels: readonly string[], since: number, bytesMax = 200, epoch = EPOCH): CaughtUp {
    const numbers: number[] = [];
    let cursor = { epoch, number: BigInt(since) };
    let hasGap = false;
    let pages = 0;
    for (;;) {
      const page = this.history.page({ channels, since: cursor, bytesMax });
      const bytes = Buffer.alloc(page.size + 2);
      page.copyTo(bytes, 1);
      const messages = messagesIn(bytes.subarray(1, page.size + 1));
      for (const { number, channel, data } of messages) {
        const original = this.published.find((message) => message.number === Number(number));
        if (original?.channel !== channel || original.data !== data.toString()) {
          throw new Error(`message ${number} has other content`);
        }
        numbers.push(original.number);
      }
      if (messages.length > 1 && page.size > bytesMax) throw new Error('the page is too long');
      if (!page.isLast && page.lastNumber <= Number(cursor.number) && cursor.epoch === EPOCH) {
        throw new Error('no progress');
      }
      hasGap ||= page.hasGap;
      pages++;
      cursor = { epoch: EPOCH, number: BigInt(page.lastNumber) };
      if (page.isLast) return { numbers, hasGap, head: page.lastNumber, pages };
    }
  }

  /** Numbers of all messages that were published to these channels after `since`. */
  all(channels: readonly string[], since: number): Published[] {
    const matches = (name: string): boolean =>
      channels.some((one) =>
        one.endsWith('/*') ? name.startsWith(one.slice(0, -1)) : name === one,
      );
    return this.published.filter(({ number, channel }) => number > since && matches(channel));
  }

  /** Whether the history must still have a message, even if it sweeps old ones late. */
  mustHave(message: Published): boolean {
    if (message.limits === null || message.expiresAtMs <= this.nowMs) return false;
    const later = this.published.filter(
      ({ number, channel, limits }) =>
        number >= message.number && channel === message.channel && limits !== null,
    );
    let bytes = 0;
    return later.every(({ limits, number, channel, data }, index) => {
      bytes += publishFrame(number, channel, data).length;
      return limits !== null && index + 1 <= limits.count && bytes <= limits.bytes;
    });
  }
}

interface CaughtUp {
  readonly numbers: readonly number[];
  readonly hasGap: boolean;
  readonly head: number;
  readonly pages: number;
}

type Step =
  | { readonly kind: 'ask'; channels: string[]; back: number; bytesMax: number; foreign: boolean }
  | { readonly kind: 'pass'; readonly ms: number }
  | {
      readonly kind: 'publish';
      channel: string;
      size: number;
      limits: HistoryLimits | null;
      ttlMs: number;
    }
  | { readonly kind: 'sweep' };

const limits = fc.record({
  count: fc.integer({ min: 1, max: 6 }),
  bytes: fc.integer({ min: 40, max: 600 }),
  ageMs: fc.integer({ min: 1, max: 100 }),
});

function stepsOn(channels: readonly string[]): fc.Arbitrary<Step[]> {
  const step: fc.Arbitrary<Step> = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant('publish' as const),
        channel: fc.constantFrom(...channels),
        size: fc.nat(150),
        limits: fc.option(limits, { freq: 5 }),
        ttlMs: fc.constantFrom(Infinity, 5, 30),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constant('ask' as const),
        channels: fc.array(fc.constantFrom(...channels, ...PATTERNS), {
          minLength: 1,
          maxLength: 4,
        }),
        back: fc.nat(12),
        bytesMax: fc.nat(400),
        foreign: fc.boolean().map((value) => value),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.nat(40) }) },
    { weight: 1, arbitrary: fc.constant({ kind: 'sweep' as const }) },
  );
  return fc.array(step, { maxLength: 80, minLength: 5, size: 'max' });
}

/** Rules of a run, in addition to the rule that every gap is reported. */
interface Rules {
  /** A message that fits the limits must be present. */
  readonly keeps: boolean;
  /** A gap is reported only if a message is lost. */
  readonly isExact: boolean;
}

function check(bench: Bench, step: Extract<Step, { kind: 'ask' }>, rules: Rules): void {
  const since = Math.max(0, bench.history.head - step.back);
  const isForeign = step.foreign && step.back > 9;
  const epoch = isForeign ? EPOCH + 1n : EPOCH;
  const found = bench.catchUp(step.channels, since, step.bytesMax, epoch);
  const all = bench.all(step.channels, isForeign ? 0 : since);
  const wanted = all.map(({ number }) => number);
  const fail = (what: string): never => {
    throw new Error(`${what}: ${JSON.stringify({ step, since, found, wanted })}`);
  };
  if (found.head !== bench.history.head) fail('the last page stops before the head');
  const ordered = [...new Set(found.numbers)].sort((a, b) => a - b);
  if (String(ordered) !== String(found.numbers)) fail('out of order, or twice');
  if (!found.numbers.every((number) => wanted.includes(number)))
    fail('a message that was not requested');
  const isComplete = found.numbers.length === wanted.length;
  if (!found.hasGap && !isComplete) fail('a silent gap');
  if (isForeign && !found.hasGap) fail('a cursor of another epoch without a reported gap');
  if (rules.isExact && found.hasGap && isComplete && !isForeign)
    fail('a reported gap although no message is lost');
  for (const message of all) {
    const isThere = found.numbers.includes(message.number);
    if (isThere && message.expiresAtMs <= bench.nowMs) fail(`${message.number} is too old`);
    if (rules.keeps && !isThere && bench.mustHave(message)) fail(`${message.number} is missing`);
  }
}

function run(bench: Bench, steps: readonly Step[], rules: Rules): void {
  for (const step of steps) {
    if (step.kind === 'publish') bench.publish(step.channel, step.size, step.limits, step.ttlMs);
    else if (step.kind === 'pass') bench.nowMs += step.ms;
    else if (step.kind === 'sweep') bench.history.sweep();
    else check(bench, step, rules);
  }
}

t.test('a page is complete or reports a gap, and keeps the limits', (t) => {
  fc.assert(
    fc.property(stepsOn(CHANNELS), (steps) => {
      run(new Bench(), steps, { keeps: true, isExact: true });
    }),
    { seed: SEED, numRuns: 2000 },
  );
  t.pass('every gap is reported, and no message is lost needlessly');
  t.end();
});

t.test('a page is complete or reports a gap with too little memory for all channels', (t) => {
  let evicted = 0;
  fc.assert(
    fc.property(stepsOn(CHANNELS), fc.integer({ min: 1000, max: 3000 }), (steps, bytesMax) => {
      const bench = new Bench({ bytesMax, slabBytes: 250 });
      for (const step of steps) {
        run(bench, [step], { keeps: false, isExact: true });
        if (bench.history.usage.bytes > bytesMax) throw new Error('the history exceeds its limit');
      }
      evicted += bench.history.usage.evicted;
    }),
    { seed: SEED, numRuns: 1500 },
  );
  t.ok(evicted > 1000, 'many messages were evicted');
  t.end();
});

t.test('every gap is reported when more channels vanished than have watermarks', (t) => {
  const channels = Array.from({ length: 40 }, (_, index) => `room/${index}`);
  fc.assert(
    fc.property(stepsOn(channels), (steps) => {
      run(new Bench({ watermarksMax: 5 }), steps, { keeps: true, isExact: false });
    }),
    { seed: SEED, numRuns: 1000 },
  );
  t.pass('every gap is reported');
  t.end();
});

/** A hasher with only three hashes, so that most names collide. */
class PoorHasher extends NameHasher {
  override hash(name: string): void {
    this.hi = 1;
    this.lo = 1 + (name.length % 3);
  }
}

t.test('channels with the same hash never share messages', (t) => {
  fc.assert(
    fc.property(stepsOn(CHANNELS), (steps) => {
      run(new Bench({ hasher: new PoorHasher() }), steps, { keeps: false, isExact: false });
    }),
    { seed: SEED, numRuns: 1000 },
  );
  t.pass('every message is right, and every gap is reported');
  t.end();
});

const KEEP: HistoryLimits = { count: 100, bytes: 100_000, ageMs: 1000 };

t.test('a channel that vanished and reappeared still reports its gap', (t) => {
  const bench = new Bench();
  bench.publish('a', 1, KEEP);
  bench.publish('a', 1, KEEP);
  bench.nowMs = 1000;
  bench.history.sweep();
  t.equal(bench.history.describe('a'), null, 'the channel has vanished');
  t.match(bench.catchUp(['a'], 1), { numbers: [], hasGap: true }, 'message 2 is gone');
  t.match(
    bench.catchUp(['a'], 2),
    { numbers: [], hasGap: false },
    'a client that received it has lost nothing',
  );
  bench.publish('a', 1, KEEP);
  t.same(bench.history.describe('a')?.messages, 1, 'the channel has a message again');
  t.match(
    bench.catchUp(['a'], 1),
    { numbers: [3], hasGap: true },
    'message 2 is still reported as gone',
  );
  t.match(bench.catchUp(['a'], 2), { numbers: [3], hasGap: false });
  t.match(
    bench.catchUp(['never'], 0),
    { numbers: [], hasGap: false },
    'a channel without messages has no gap',
  );
  t.end();
});

t.test('a cursor of the future or of another epoch is a gap', (t) => {
  const bench = new Bench();
  bench.publish('a', 1, KEEP);
  const ask = (number: bigint, epoch: bigint): object => {
    const page = bench.history.page({
      channels: ['a'],
      since: { epoch, number },
      bytesMax: 1000,
    });
    return { hasGap: page.hasGap, isLast: page.isLast, has: page.size > 0, to: page.lastNumber };
  };
  t.same(ask(2n, EPOCH), { hasGap: true, isLast: true, has: false, to: 1 }, 'from the future');
  t.same(ask(2n ** 64n - 1n, EPOCH), { hasGap: true, isLast: true, has: false, to: 1 });
  t.same(ask(1n, 8n), { hasGap: true, isLast: true, has: true, to: 1 }, 'from another epoch');
  t.same(ask(2n ** 64n - 1n, 8n), { hasGap: true, isLast: true, has: true, to: 1 });
  const page = bench.history.page({ channels: ['a'], since: null, bytesMax: 1000 });
  t.match(
    page,
    { hasGap: false, isLast: true, size: 0, lastNumber: 1 },
    'without a cursor a client receives new messages only',
  );
  t.end();
});

t.test('a publish that is not kept is a gap for clients that resume', (t) => {
  const bench = new Bench();
  bench.publish('a', 1, KEEP);
  bench.publish('a', 1, null);
  bench.publish('a', 1, { ...KEEP, bytes: 10 });
  bench.publish('a', 1, KEEP);
  t.match(bench.catchUp(['a'], 0), { numbers: [1, 4], hasGap: true });
  t.match(
    bench.catchUp(['a'], 2),
    { numbers: [4], hasGap: true },
    'a message larger than the limit is a gap too',
  );
  t.match(bench.catchUp(['a'], 3), { numbers: [4], hasGap: false });
  t.end();
});

t.test('pages of any size with many channels and patterns are in order', (t) => {
  const bench = new Bench();
  for (let index = 0; index < 300; index++) bench.publish(`news/${index % 50}`, index % 40, KEEP);
  const everyChannel = Array.from({ length: 50 }, (_, index) => `news/${index}`);
  const wanted = Array.from({ length: 300 }, (_, index) => index + 1);
  for (const bytesMax of [0, 1, 100, 1000, 10_000, 1e6]) {
    t.same(bench.catchUp(everyChannel, 0, bytesMax).numbers, wanted, `exact, ${bytesMax} bytes`);
    t.same(bench.catchUp(['news/*'], 0, bytesMax).numbers, wanted, `pattern, ${bytesMax} bytes`);
    const mixed = ['news/*', 'news/7', 'other/*', 'news/7'];
    t.same(bench.catchUp(mixed, 0, bytesMax).numbers, wanted, `both, ${bytesMax} bytes`);
  }
  t.equal(bench.catchUp(['news/*'], 0, 0).pages, 300, 'one message always fits');
  t.equal(bench.catchUp(['news/*'], 0, 1e6).pages, 1);
  t.end();
});

t.test('a pattern with few matches is answered in several short pages', (t) => {
  const bench = new Bench();
  const many: HistoryLimits = { count: 10_000, bytes: 1e9, ageMs: 1000 };
  for (let index = 0; index < 70_000; index++) {
    const channel = index === 69_000 ? 'rare/1' : `c${index % 8}`;
    const number = index + 1;
    const frame = publishFrame(number, channel, 'x');
    bench.history.append(number, 0, channel, frame, 0, frame.length, many);
  }
  const ask = (number: number): { lastNumber: number; size: number } => {
    const since = { epoch: EPOCH, number: BigInt(number) };
    const page = bench.history.page({ channels: ['rare/*'], since, bytesMax: 1000 });
    t.equal(page.hasGap, false);
    return { lastNumber: page.lastNumber, size: page.size };
  };
  const first = ask(0);
  t.equal(first.size, 0, 'the first page has no match');
  t.ok(first.lastNumber >= 32_768, 'the next page continues after the examined messages');
  const second = ask(first.lastNumber);
  t.equal(second.size, 0);
  const third = ask(second.lastNumber);
  t.ok(third.size > 0, 'the last page has the message');
  t.equal(third.lastNumber, 70_000);
  t.end();
});

t.test('a channel far above the average is evicted first', (t) => {
  const bench = new Bench({ bytesMax: 64_000, slabBytes: 4000 });
  const loud: HistoryLimits = { count: 10_000, bytes: 1e9, ageMs: 1e6 };
  for (let index = 0; index < 50; index++) bench.publish(`quiet/${index}`, 50, loud);
  for (let index = 0; index < 2000; index++) bench.publish('loud', 50, loud);
  for (let index = 0; index < 50; index++) {
    t.equal(
      bench.history.describe(`quiet/${index}`)?.messages,
      1,
      `quiet/${index} keeps its message`,
    );
  }
  t.ok(
    (bench.history.describe('loud')?.messages ?? 0) > 100,
    'the loud channel has the rest of the memory',
  );
  t.match(bench.catchUp(['quiet/*'], 0), { hasGap: false });
  t.match(bench.catchUp(['loud'], 50), { hasGap: true });
  t.match(bench.catchUp(['loud'], 2000, 5000), { hasGap: false });
  t.end();
});

t.test('memory is freed when messages are dropped', (t) => {
  const bench = new Bench({ bytesMax: 8e6 });
  const limits: HistoryLimits = { count: 10_000, bytes: 1e9, ageMs: 1000 };
  for (let index = 0; index < 20_000; index++) {
    const frame = publishFrame(index + 1, `c${index % 10}`, 'x'.repeat(200));
    const ageMs = index % 100 === 0 ? 1e6 : 1000;
    const kept = { ...limits, ageMs };
    bench.history.append(index + 1, 0, `c${index % 10}`, frame, 0, frame.length, kept);
  }
  const { memoryBytes } = bench.history.usage;
  bench.nowMs = 1000;
  for (let sweep = 0; sweep < 300; sweep++) bench.history.sweep();
  const after = bench.history.usage;
  t.equal(after.messages, 200, 'only messages with a longer lifetime are left');
  t.ok(memoryBytes - after.memoryBytes > 3e6, 'and the slabs were packed');
  t.equal(bench.catchUp(['c0'], 19_990).hasGap, true);
  t.end();
});

t.test('numbers above 2^32 work', (t) => {
  for (const head of [2 ** 31 - 2, 2 ** 32 - 2, 2 ** 40]) {
    const bench = new Bench({ head });
    for (let index = 0; index < 5; index++) bench.publish('a/b', 1, { ...KEEP, count: 3 });
    const last = [head + 3, head + 4, head + 5];
    t.match(bench.catchUp(['a/b'], head + 2), { numbers: last, hasGap: false, head: head + 5 });
    t.match(bench.catchUp(['a/*'], head + 2), { numbers: last, hasGap: false });
    t.match(bench.catchUp(['a/*'], head + 1), { numbers: last, hasGap: true });
  }
  t.end();
});

t.test('the channels with messages are listed by name', (t) => {
  const bench = new Bench();
  const names = Array.from({ length: 5000 }, (_, index) => `kanal/ü${index}`);
  for (const name of names) bench.publish(name, 0, KEEP);
  const found: string[] = [];
  for (let from: number | null = 0; from !== null;) {
    const part = bench.history.names(from);
    found.push(...part.names);
    from = part.next;
  }
  t.same(new Set(found), new Set(names));
  t.equal(found.length, names.length);
  t.end();
});
