// The interest table compared with a Map of Maps, and its memory.
import fc from 'fast-check';
import t from 'tap';

import { Interest, type Match } from '../../lib/broker/interest.js';

const SEED = 20_261_120;
const SLOTS = 20;

const CHANNELS = ['a', 'b', 'news/1', 'news/2', 'news/x/1', 'news/', 'ä/ö', 'newsflash'];
const PATTERNS = ['news/*', 'news/x/*', 'ä/*', 'none/*'];

type Step =
  | { readonly kind: 'drop'; readonly slot: number }
  | {
      readonly kind: 'set';
      readonly slot: number;
      readonly channel: string;
      readonly count: number;
    };

const slot = fc.nat(SLOTS - 1);
const steps = fc.array(
  fc.oneof(
    {
      weight: 30,
      arbitrary: fc.record({
        kind: fc.constant('set' as const),
        slot,
        channel: fc.constantFrom(...CHANNELS, ...PATTERNS),
        count: fc.oneof(fc.constant(0), fc.nat(5), fc.constant(2_000_000)),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('drop' as const), slot }) },
  ),
  { size: 'max', maxLength: 200 },
);

/** Channel or pattern, to slot, to count. */
class Model {
  readonly counts = new Map<string, Map<number, number>>();

  apply(step: Step): void {
    if (step.kind === 'drop') {
      for (const counts of this.counts.values()) counts.delete(step.slot);
      return;
    }
    const counts = this.counts.get(step.channel) ?? new Map<number, number>();
    this.counts.set(step.channel, counts);
    if (step.count === 0) counts.delete(step.slot);
    else counts.set(step.slot, step.count);
  }

  match(channel: string): { slots: number[]; subscribers: number } {
    const slots = new Set<number>();
    let subscribers = 0;
    for (const [name, counts] of this.counts) {
      const isHit = name.endsWith('/*') ? channel.startsWith(name.slice(0, -1)) : name === channel;
      if (!isHit) continue;
      for (const [one, count] of counts) {
        slots.add(one);
        subscribers += count;
      }
    }
    return { slots: [...slots].sort((a, b) => a - b), subscribers };
  }

  count(channel: string): number {
    return [...(this.counts.get(channel)?.values() ?? [])].reduce((sum, count) => sum + count, 0);
  }
}

function slotsOf(match: Match): number[] {
  return [...match.slots.subarray(0, match.length)].sort((a, b) => a - b);
}

function listOf(interest: Interest): Record<string, number> {
  const found: [string, number][] = [];
  for (let part = 0; part < interest.listParts; part++) {
    for (const { channel, subscribers } of interest.list(part)) found.push([channel, subscribers]);
  }
  const names = found.map(([name]) => name);
  if (new Set(names).size !== names.length) throw new Error('a channel is listed twice');
  return Object.fromEntries(found.sort(([one], [other]) => (one < other ? -1 : 1)));
}

function compare(interest: Interest, model: Model): void {
  const wrong = (what: string, found: unknown, wanted: unknown): void => {
    const [one, other] = [JSON.stringify(found), JSON.stringify(wanted)];
    if (one !== other) throw new Error(`${what}: ${one} instead of ${other}`);
  };
  for (const channel of CHANNELS) {
    const wanted = model.match(channel);
    const match = interest.match(channel);
    wrong(`workers of ${channel}`, slotsOf(match), wanted.slots);
    wrong(`subscribers of ${channel}`, match.subscribers, wanted.subscribers);
  }
  for (const name of [...CHANNELS, ...PATTERNS]) {
    wrong(`count of ${name}`, interest.subscribers(name), model.count(name));
    const slots = [...(model.counts.get(name)?.keys() ?? [])].sort((a, b) => a - b);
    wrong(
      `slots of ${name}`,
      interest.workersFor(name).sort((a, b) => a - b),
      slots,
    );
  }
  const live = [...model.counts.keys()].filter((name) => model.count(name) > 0).sort();
  wrong(
    'the list',
    listOf(interest),
    Object.fromEntries(live.map((name) => [name, model.count(name)])),
  );
  wrong('channels', interest.channels, live.filter((name) => !name.endsWith('*')).length);
  wrong('patterns', interest.patterns, live.filter((name) => name.endsWith('*')).length);
}

t.test('the interest table has the workers of each channel and their counts', (t) => {
  fc.assert(
    fc.property(steps, (all) => {
      const interest = new Interest({ slots: SLOTS });
      const model = new Model();
      for (const step of all) {
        if (step.kind === 'drop') interest.drop(step.slot);
        else interest.set(step.slot, step.channel, step.count);
        model.apply(step);
      }
      compare(interest, model);
    }),
    { seed: SEED, numRuns: 1000 },
  );
  t.pass('the table equals the model');
  t.end();
});

t.test('a channel of 512 workers loses them one by one', (t) => {
  const interest = new Interest({ slots: 512 });
  for (let one = 0; one < 512; one++) interest.set(one, 'all', one + 1);
  t.equal(interest.match('all').length, 512);
  t.equal(interest.subscribers('all'), (512 * 513) / 2);
  for (let one = 0; one < 512; one += 2) interest.drop(one);
  t.same(
    slotsOf(interest.match('all')),
    Array.from({ length: 256 }, (_, index) => 2 * index + 1),
  );
  for (let one = 1; one < 511; one += 2) interest.set(one, 'all', 0);
  t.same(slotsOf(interest.match('all')), [511], 'one is left');
  t.equal(interest.subscribers('all'), 512);
  interest.drop(511);
  t.equal(interest.match('all').length, 0);
  t.equal(interest.channels, 0);
  t.end();
});

t.test('a worker that exceeds the table gets every message until it dies', (t) => {
  const interest = new Interest({ slots: 4, channelsMax: 2, patternsMax: 1 });
  interest.set(0, 'a', 1);
  interest.set(0, 'b', 1);
  interest.set(1, 'c', 1);
  t.same(slotsOf(interest.match('a')), [0, 1]);
  t.same(
    slotsOf(interest.match('c')),
    [1],
    'the worker gets messages of channels that are not in the table',
  );
  t.equal(interest.match('c').subscribers, 0, 'the counts of such channels are unknown');
  t.equal(interest.catchAllWorkers, 1);
  interest.set(2, 'n/*', 1);
  interest.set(3, 'm/*', 1);
  t.same(slotsOf(interest.match('m/1')), [1, 3]);
  t.same(slotsOf(interest.match('n/1')), [1, 2, 3]);
  interest.drop(1);
  interest.drop(3);
  t.equal(interest.catchAllWorkers, 0);
  t.same(slotsOf(interest.match('c')), []);
  interest.set(0, 'a', 0);
  interest.set(1, 'c', 1);
  t.same(slotsOf(interest.match('c')), [1], 'the table has free entries again');
  t.equal(interest.catchAllWorkers, 0);
  t.end();
});

t.test(
  'a worker returns to interest routing when the table has room for all of its interest',
  (t) => {
    const interest = new Interest({ slots: 3, channelsMax: 100, patternsMax: 4 });
    const crowd = ['c1/*', 'c2/*', 'c3/*', 'c4/*'];
    for (const pattern of crowd) interest.set(0, pattern, 1);
    interest.set(1, 'late/*', 2);
    interest.set(2, 'later/*', 1);
    t.equal(interest.catchAllWorkers, 2);
    t.same(interest.workersFor('late/*').sort(), [1, 2], 'they may have any subscriber');
    t.equal(interest.nextReport(0), null, 'the table is full');
    for (const pattern of crowd) interest.set(0, pattern, 0);

    t.same(interest.nextReport(1000), { slot: 1, request: 1 });
    t.equal(interest.nextReport(1000), null, 'one worker reports at a time');
    interest.set(1, 'late/*', 2);
    t.same(slotsOf(interest.match('nobody')), [1, 2], 'until its report is complete');
    interest.reported(1, 7);
    t.equal(interest.catchAllWorkers, 2, 'the end of another report does not count');
    interest.reported(1, 1);
    t.same(slotsOf(interest.match('nobody')), [2]);
    t.same(slotsOf(interest.match('late/1')), [1, 2]);
    t.equal(interest.subscribers('late/*'), 2, 'the count is known again');

    t.same(interest.nextReport(1000), { slot: 2, request: 2 });
    for (const pattern of [...crowd, 'later/*']) interest.set(2, pattern, 1);
    interest.reported(2, 2);
    t.equal(interest.catchAllWorkers, 1, 'its interest did not fit');
    for (const pattern of crowd) interest.set(2, pattern, 0);
    t.equal(interest.nextReport(1001), null, 'not again at once');
    t.same(interest.nextReport(10_000), { slot: 2, request: 3 });
    interest.drop(2);
    interest.reported(2, 3);
    t.equal(interest.catchAllWorkers, 0);
    t.equal(interest.nextReport(20_000), null);
    t.end();
  },
);

t.test('channels above the memory of names are served, and not listed', (t) => {
  const interest = new Interest({ slots: 2, namesBytesMax: 256 });
  const names = Array.from({ length: 1000 }, (_, index) => `channel/${index}`);
  for (const name of names) interest.set(1, name, 1);
  for (const name of names) t.ok(interest.match(name).length === 1, name);
  const listed = Object.keys(listOf(interest));
  t.ok(listed.length > 0 && listed.length < 100, `${listed.length} are listed`);
  for (const name of names) interest.set(1, name, 0);
  t.equal(interest.channels, 0);
  t.equal(interest.match('channel/1').length, 0);
  t.end();
});

t.test('channels without subscribers leave no memory in use', (t) => {
  const interest = new Interest({ slots: 2 });
  const bare = interest.memoryBytes;
  for (let round = 0; round < 4; round++) {
    for (let index = 0; index < 50_000; index++) interest.set(index % 2, `r${round}/${index}`, 1);
    t.equal(interest.channels, 50_000);
    if (round % 2 === 0) {
      for (let index = 0; index < 50_000; index++) interest.set(index % 2, `r${round}/${index}`, 0);
    } else {
      interest.drop(0);
      interest.drop(1);
    }
    t.equal(interest.channels, 0);
    t.same(listOf(interest), {});
  }
  for (let round = 0; round < 20; round++) {
    for (let index = 0; index < 5000; index++) {
      interest.set(0, `r${round}/${index}`, 1);
      interest.set(1, `r${round}/${index}`, 2);
      interest.set(0, `r${round}/${index}`, 0);
    }
    t.equal(interest.subscribers(`r${round}/1`), 2, 'one of two workers is left');
    interest.drop(1);
  }
  t.ok(interest.memoryBytes < bare + 1_000_000, 'little memory is in use');
  t.end();
});

t.test('a private channel costs its 25 bytes and its name', (t) => {
  const interest = new Interest({ slots: 56 });
  const bare = interest.memoryBytes;
  const count = 300_000;
  for (let index = 0; index < count; index++) {
    interest.set(index % 56, `user/${String(index).padStart(15, '0')}`, 1);
  }
  const bytes = (interest.memoryBytes - bare) / count;
  t.ok(bytes < 75, `${bytes.toFixed(0)} bytes, 20 of them characters`);
  t.end();
});
