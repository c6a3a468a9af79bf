// The keys of --token-jwks-url with a manual clock and an issuer that answers when a test says so.
import { setImmediate } from 'node:timers/promises';
import t from 'tap';

import { freshSeconds, KeyFetchError, type KeyAnswer } from '../../lib/access/key-request.js';
import { readKeySet } from '../../lib/access/key-set.js';
import { KeyFetches, RemoteKeys } from '../../lib/access/remote-keys.js';
import { until } from '../support/helpers.js';
import { IssuerKey } from '../support/key-site.js';
import { ManualClock } from '../support/manual-clock.js';
import { recordedLog } from '../support/recorded-log.js';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const ONE = new IssuerKey('one', 'EdDSA');
const TWO = new IssuerKey('two', 'EdDSA');

interface Request {
  readonly resolve: (answer: KeyAnswer) => void;
  readonly reject: (error: KeyFetchError) => void;
  readonly closing: AbortSignal;
  /** Timers of the keys while the request runs; its end adds one. */
  readonly timers: number;
}

/** The keys, and the end of each of their requests. */
class World {
  readonly clock = new ManualClock(5 * SECOND);
  readonly fetches = new KeyFetches();
  readonly log = recordedLog();
  readonly requests: Request[] = [];
  /** The names of the keys of each change; null for none. */
  readonly changes: (readonly string[] | null)[] = [];
  readonly checked: number[] = [];
  random = 0.5;
  readonly keys = new RemoteKeys(
    {
      url: new URL('https://issuer.example/keys?secret=7'),
      clock: this.clock,
      log: this.log.logger,
      request: (_url, closing) =>
        new Promise((resolve, reject) => {
          this.requests.push({ resolve, reject, closing, timers: this.clock.pending });
        }),
      random: () => this.random,
      onKeys: (keys) => this.changes.push(keys?.map(({ keyId }) => keyId) ?? null),
      onChecked: (seconds) => this.checked.push(seconds),
    },
    this.fetches,
  );

  /** A started world, whose issuer has answered. */
  static async start(keys: readonly IssuerKey[] = [ONE], freshS: number | null = null) {
    const world = new World();
    world.keys.reload();
    await world.answer(keys, freshS);
    return world;
  }

  /** The newest request. */
  get #last(): Request {
    const last = this.requests.at(-1);
    if (last === undefined) throw new Error('nothing was requested');
    return last;
  }

  /** Waits until a request has ended, and has set the timer of the next one. */
  async #end({ timers }: Request): Promise<void> {
    await until('the end of a request', async () => {
      await setImmediate();
      return this.clock.pending > timers;
    });
    // The request makes room for the next one a moment after it has set the timer.
    await setImmediate();
  }

  async answer(keys: readonly IssuerKey[], freshS: number | null = null): Promise<void> {
    await this.send(
      keys.map((key) => key.jwk()),
      freshS,
    );
  }

  /** The issuer answers with these members of `keys`. */
  async send(keys: unknown, freshS: number | null = null): Promise<void> {
    const request = this.#last;
    request.resolve({ text: JSON.stringify({ keys }), freshS });
    await this.#end(request);
  }

  async fail(cause: KeyFetchError['reason'] = 'unreachable'): Promise<void> {
    const request = this.#last;
    request.reject(new KeyFetchError(cause, `of the cause ${cause}`));
    await this.#end(request);
  }

  /** Whether the next request begins after exactly this time. */
  isNextAfter(ms: number): boolean {
    const before = this.requests.length;
    this.clock.advance(ms - 1);
    const isEarly = this.requests.length > before;
    this.clock.advance(1);
    return !isEarly && this.requests.length === before + 1;
  }

  /** The lines of the log from a warning upwards. */
  get warnings(): readonly unknown[] {
    const lines = this.log.lines.filter(({ level }) => level === 'warn' || level === 'error');
    return lines.map(({ fields, message }) => fields['cause'] ?? message);
  }
}

t.test('keys are fetched again after max-age, within a minute and an hour', async (t) => {
  const rows = [
    [null, 10 * MINUTE],
    [0, MINUTE],
    [59, MINUTE],
    [60, MINUTE],
    [61, 61 * SECOND],
    [3599, 3599 * SECOND],
    [3601, HOUR],
    [9_999_999_999, HOUR],
  ] as const;
  for (const [freshS, wantedMs] of rows) {
    const world = await World.start([ONE], freshS);
    t.ok(world.isNextAfter(wantedMs), `max-age ${freshS}`);
    await world.answer([ONE], freshS);
    t.ok(world.isNextAfter(wantedMs), `max-age ${freshS}, the second time`);
    t.strictSame(world.changes, [['one']], 'the same keys are reported once');
  }
});

t.test('max-age is read from the head of the answer, less the time in caches', (t) => {
  const rows = [
    [{}, null],
    [{ 'cache-control': 'max-age=60' }, 60],
    [{ 'cache-control': 'public, Max-Age="60"' }, 60],
    [{ 'cache-control': 'max-age=60', age: '50' }, 10],
    [{ 'cache-control': 'max-age=60', age: '70' }, 0],
    [{ 'cache-control': 'max-age=60', age: 'old' }, 60],
    [{ 'cache-control': 'max-age=60, no-store' }, 0],
    [{ 'cache-control': 'no-cache="x"' }, 0],
    [{ 'cache-control': 's-maxage=60' }, null],
    [{ 'cache-control': 'max-age=-1' }, null],
    [{ 'cache-control': `max-age=${'9'.repeat(400)}` }, null],
  ] as const;
  for (const [headers, wanted] of rows) {
    t.equal(freshSeconds({ headers }), wanted, JSON.stringify(headers).slice(0, 60));
  }
  t.end();
});

t.test('keys serve for 24 hours while the issuer does not answer', async (t) => {
  const world = await World.start();
  // An answer in between begins the 24 hours again.
  world.clock.advance(10 * MINUTE);
  world.clock.advance(23 * HOUR);
  t.strictSame(world.keys.keys?.length, 1, 'during a request without an end');
  t.equal(world.fetches.counters.jwksAgeSeconds, (23 * HOUR + 10 * MINUTE) / SECOND);
  await world.answer([ONE]);
  t.equal(world.fetches.counters.jwksAgeSeconds, 0);
  world.clock.advance(10 * MINUTE);
  world.clock.advance(DAY - 10 * MINUTE - 1);
  t.strictSame(world.changes, [['one']]);
  t.match(world.fetches.counters, { jwksKeys: 1, jwksAgeSeconds: DAY / SECOND - 1 });
  world.clock.advance(1);
  t.strictSame(world.changes, [['one'], null], 'not one millisecond longer');
  t.equal(world.keys.keys, null);
  t.match(world.fetches.counters, { jwksKeys: 0, jwksAgeSeconds: 0 });
  t.strictSame(world.warnings, ['keys of the issuer are 24 hours old; they serve no longer']);
  world.clock.advance(10 * DAY);
  t.equal(world.changes.length, 2, 'that is said once');
  await world.answer([ONE]);
  t.strictSame(world.changes.at(-1), ['one'], 'the same keys serve again');
});

t.test('failures do not shorten the 24 hours', async (t) => {
  const world = await World.start();
  world.clock.advance(10 * MINUTE);
  let passedMs = 10 * MINUTE;
  while (passedMs + MINUTE < DAY) {
    await world.fail();
    world.clock.advance(MINUTE);
    passedMs += MINUTE;
  }
  t.strictSame(world.changes, [['one']]);
  world.clock.advance(DAY - passedMs);
  t.strictSame(world.changes, [['one'], null]);
  // One minute is the longest wait.
  t.ok(world.requests.length >= 1 + (DAY - 10 * MINUTE) / MINUTE);
});

t.test('a failed fetch is repeated after 1 s, then twice as long, up to a minute', async (t) => {
  for (const random of [0, 0.5, 0.75]) {
    const world = new World();
    world.random = random;
    world.keys.reload();
    for (const seconds of [1, 2, 4, 8, 16, 32, 60, 60, 60]) {
      await world.fail();
      t.ok(world.isNextAfter(seconds * SECOND * (0.5 + random)), `${seconds} s, random ${random}`);
    }
    await world.answer([ONE]);
    t.ok(world.isNextAfter(10 * MINUTE), 'an answer ends that');
    await world.fail();
    t.ok(world.isNextAfter(SECOND * (0.5 + random)), 'and the next failure begins with 1 s');
  }
});

t.test('an unknown key causes at most one fetch in 30 s', async (t) => {
  const world = await World.start();
  world.keys.onUnknownKey(3);
  t.equal(world.requests.length, 2);
  await world.answer([ONE, TWO]);
  t.strictSame(world.checked, [30], 'the workers reject unknown keys for that long');
  t.strictSame(world.changes, [['one'], ['one', 'two']]);
  for (let second = 1; second < 30; second++) {
    world.clock.advance(SECOND);
    world.keys.onUnknownKey(1000);
  }
  t.equal(world.requests.length, 2, 'none in the 30 s after the first');
  world.clock.advance(SECOND);
  world.keys.onUnknownKey(1);
  t.equal(world.requests.length, 3);
  t.equal(world.fetches.counters.jwksUnknownKeysTotal, 3 + 29 * 1000 + 1, 'all are counted');
  // A failed fetch says nothing about a key, so its clients may try again.
  await world.fail();
  t.strictSame(world.checked, [30]);
  t.ok(world.isNextAfter(SECOND));
  await world.answer([ONE]);
  t.strictSame(world.checked, [30], 'nor does one for another reason');
});

t.test('a key that is unknown during a fetch is looked for in the next answer', async (t) => {
  const world = new World();
  world.keys.reload();
  world.keys.onUnknownKey(1);
  world.keys.reload();
  t.equal(world.requests.length, 1, 'one request at a time');
  world.requests[0]?.resolve({ text: '{"keys":[]}', freshS: null });
  await until('the second request', () => world.requests.length === 2);
  t.strictSame(world.checked, [], 'the first answer may be older than the token');
  await world.answer([ONE]);
  t.strictSame(world.checked, [30]);
  t.equal(world.requests.length, 2, 'both reasons share it');
  t.ok(world.isNextAfter(10 * MINUTE));
});

t.test('the log has one line for failures of one cause in ten minutes', async (t) => {
  const world = new World();
  world.keys.reload();
  const fail = async (cause: KeyFetchError['reason'], waitMs = MINUTE): Promise<void> => {
    await world.fail(cause);
    world.clock.advance(waitMs);
  };
  for (let minute = 0; minute < 11; minute++) await fail('unreachable');
  t.strictSame(world.warnings, ['unreachable', 'unreachable']);
  await fail('status');
  await fail('timeout');
  await fail('content');
  await fail('content');
  t.strictSame(world.warnings.slice(2), ['status', 'timeout', 'content']);
  t.match(world.fetches.counters, {
    jwksFetchesTotal: 16,
    jwksFetchFailuresTotal: 15,
    jwksFetchFailuresUnreachableTotal: 11,
    jwksFetchFailuresStatusTotal: 1,
    jwksFetchFailuresTimeoutTotal: 1,
    jwksFetchFailuresContentTotal: 2,
  });
  t.match(world.log.lines[0]?.fields, { hasKeys: false, url: 'https://issuer.example/keys' });
  await world.answer([ONE]);
  t.equal(world.log.lines.at(-1)?.message, 'keys of the issuer fetched');
  world.clock.advance(10 * MINUTE);
  await fail('content');
  t.match(world.log.lines.at(-1)?.fields, { cause: 'content', ageSeconds: 600 });
  t.notMatch(JSON.stringify(world.log.lines), 'secret', 'no line has the query');
});

t.test('a garbled answer is a failure, and the known keys stay', async (t) => {
  const world = await World.start();
  world.keys.reload();
  await world.send(7, 3600);
  t.match(world.fetches.counters, { jwksFetchFailuresContentTotal: 1, jwksKeys: 1 });
  t.strictSame(world.changes, [['one']]);
  t.ok(world.isNextAfter(SECOND), 'max-age of such an answer does not count');
});

t.test('an empty set is an answer: the issuer has withdrawn all its keys', async (t) => {
  const world = await World.start();
  world.keys.reload();
  await world.answer([]);
  t.strictSame(world.changes, [['one'], []]);
  t.match(world.fetches.counters, { jwksKeys: 0, jwksFetchFailuresTotal: 0 });
});

t.test('keys that verify nothing are named once for each list', async (t) => {
  const world = await World.start();
  const ignored = async (...kids: readonly string[]): Promise<void> => {
    world.keys.reload();
    await world.send(kids.map((kid) => ({ kty: 'oct', kid })));
  };
  await ignored('a');
  await ignored('a');
  t.equal(world.warnings.length, 1);
  await ignored('a', 'b');
  t.equal(world.warnings.length, 2);
  t.match(world.log.lines.at(-1)?.fields['ignored'], [/^key "a" /, /^key "b" /]);
});

t.test('close() ends a fetch, and nothing happens afterwards', async (t) => {
  const world = await World.start();
  world.keys.reload();
  world.keys.reload();
  const request = world.requests.at(-1);
  world.keys.close();
  t.equal(request?.closing.aborted, true);
  t.equal(world.clock.pending, 0);
  const text = JSON.stringify({ keys: [TWO.jwk()] });
  request?.resolve({ text, freshS: 60 });
  t.equal((await readKeySet(text)).keys.length, 1, 'as long as the answer takes to be read');
  await setImmediate();
  world.keys.onUnknownKey(1);
  world.keys.reload();
  world.clock.advance(2 * DAY);
  t.equal(world.requests.length, 2);
  t.strictSame(world.changes, [['one']]);
  t.equal(world.clock.pending, 0);
});
