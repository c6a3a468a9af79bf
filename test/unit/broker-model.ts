// The broker with a model of whole workers: no subscriber may miss, repeat or reorder a message
// without a reported gap.
import fc from 'fast-check';
import t from 'tap';

import { Broker } from '../../lib/broker/broker.js';
import type { HistoryLimits } from '../../lib/broker/history-limits.js';
import { ReplayPageFlag, type Frames } from '../../lib/ipc/frames.js';
import { ask, EPOCH, wants } from '../support/fakes/broker.js';
import { brokerOptions } from '../../lib/server/broker-options.js';
import { fill } from '../../lib/server/server-options.js';
import { FakePort, FakeIterations, messagesIn } from '../support/fakes/comet.js';

const SEED = 20_261_121;
const OPTIONS = brokerOptions(3, fill({}));

/** A worker of the protocol: its subscribers request missed messages, catch up, and then are live. */
class ModelWorker {
  readonly port: FakePort;
  readonly subscribers: Subscriber[] = [];
  readonly #counts = new Map<string, number>();

  constructor(
    readonly slot: number,
    readonly broker: Broker,
  ) {
    this.port = new FakePort(slot);
    broker.attach(this.port);
  }

  subscribe(subscriber: Subscriber): void {
    this.subscribers.push(subscriber);
    for (const channel of subscriber.channels) {
      const count = (this.#counts.get(channel) ?? 0) + 1;
      this.#counts.set(channel, count);
      wants(this.broker, this.slot, channel, count);
    }
    this.#ask(subscriber);
  }

  leave(subscriber: Subscriber): void {
    this.subscribers.splice(this.subscribers.indexOf(subscriber), 1);
    for (const channel of subscriber.channels) {
      const count = (this.#counts.get(channel) ?? 0) - 1;
      this.#counts.set(channel, count);
      wants(this.broker, this.slot, channel, count);
    }
  }

  #ask({ fd, cursor, channels, bytesMax }: Subscriber): void {
    ask(this.broker, this.slot, { fd, number: BigInt(cursor), channels, bytesMax });
  }

  read(): void {
    for (const frame of this.port.take()) {
      if (frame.name === 'Publish') {
        for (const subscriber of this.subscribers) subscriber.hear(frame.fields);
      } else if (frame.name === 'ReplayPage') {
        const subscriber = this.subscribers.find(({ fd }) => fd === frame.fields.fd);
        if (subscriber === undefined) continue;
        subscriber.turnPage(frame.fields);
        if (!subscriber.isLive) this.#ask(subscriber);
      }
    }
  }
}

class Subscriber {
  isLive = false;
  hasLost = false;
  readonly heard: number[] = [];

  constructor(
    readonly fd: number,
    readonly channels: readonly string[],
    readonly since: number,
    readonly bytesMax: number,
    public cursor = since,
  ) {}

  wants(channel: string): boolean {
    return this.channels.some((one) =>
      one.endsWith('/*') ? channel.startsWith(one.slice(0, -1)) : one === channel,
    );
  }

  hear({ number, channel }: Frames['Publish']): void {
    if (!this.isLive || !this.wants(channel)) return;
    if (Number(number) <= this.cursor) throw new Error(`message ${number} again`);
    this.#take(Number(number));
  }

  turnPage({ messages, head, flags }: Frames['ReplayPage']): void {
    for (const { number, channel } of messagesIn(messages)) {
      if (!this.wants(channel)) throw new Error(`${channel} was not requested`);
      this.#take(Number(number));
    }
    this.hasLost ||= (flags & ReplayPageFlag.lost) !== 0;
    this.cursor = Number(head);
    this.isLive = (flags & ReplayPageFlag.last) !== 0;
  }

  #take(number: number): void {
    if (number <= (this.heard.at(-1) ?? this.since)) throw new Error(`${number} out of order`);
    this.heard.push(number);
  }
}

const CHANNELS = ['a', 'b', 'n/1', 'n/2', 'n/x/1'];
const actions = fc.array(
  fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        do: fc.constant('publish' as const),
        channel: fc.constantFrom(...CHANNELS),
        size: fc.constantFrom(0, 50, 3000),
        history: fc.constantFrom<HistoryLimits | false>(
          { count: 3, bytes: 9000, ageMs: 50 },
          { count: 50, bytes: 90_000, ageMs: 1000 },
          false,
        ),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        do: fc.constant('subscribe' as const),
        slot: fc.nat(2),
        channels: fc.uniqueArray(fc.constantFrom(...CHANNELS, 'n/*', 'n/x/*'), { minLength: 1 }),
        back: fc.nat(20),
        bytesMax: fc.constantFrom(1, 500, 32_768),
      }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('leave' as const), which: fc.nat(50) }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constant('turn' as const), ms: fc.nat(20) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('read' as const), slot: fc.nat(2) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('crash' as const), slot: fc.nat(2) }) },
  ),
  { size: 'max', maxLength: 120 },
);

/** Throws unless a subscriber received all of its messages, or a reported gap. */
function check(subscriber: Subscriber, published: readonly string[]): void {
  const wanted = published
    .map((channel, index) => ({ channel, number: index + 1 }))
    .filter(({ channel, number }) => number > subscriber.since && subscriber.wants(channel))
    .map(({ number }) => number);
  const { heard, hasLost } = subscriber;
  if ((String(wanted) === String(heard)) !== hasLost) return;
  const found = JSON.stringify({ wanted, heard, hasLost });
  throw new Error(
    hasLost ? `a gap is reported although nothing is lost: ${found}` : `a gap: ${found}`,
  );
}

t.test('no subscriber misses, repeats or reorders a message without a reported gap', (t) => {
  let heard = 0;
  let told = 0;
  fc.assert(
    fc.property(actions, (all) => {
      const turns = new FakeIterations();
      const parts = { now: turns.now, schedule: turns.schedule, epoch: EPOCH };
      const broker = new Broker({ ...OPTIONS, historyBytesMax: 300_000 }, parts);
      const workers = [0, 1, 2].map((slot) => new ModelWorker(slot, broker));
      const published: string[] = [];
      const everybody = (): { worker: ModelWorker; subscriber: Subscriber }[] =>
        workers.flatMap((worker) =>
          worker.subscribers.map((subscriber) => ({ worker, subscriber })),
        );
      let fd = 0;
      for (const action of all) {
        if (action.do === 'publish') {
          const { channel, size, history } = action;
          void broker.publish(channel, 'x'.repeat(size), { history });
          published.push(channel);
        } else if (action.do === 'subscribe') {
          const since = Math.max(0, published.length - action.back);
          const subscriber = new Subscriber(++fd, action.channels, since, action.bytesMax);
          workers[action.slot]?.subscribe(subscriber);
        } else if (action.do === 'leave') {
          const everyone = everybody();
          const one = everyone[action.which % Math.max(1, everyone.length)];
          one?.worker.leave(one.subscriber);
        } else if (action.do === 'turn') {
          turns.nowMs += action.ms;
          turns.end();
          if (action.ms === 7) broker.tick();
        } else if (action.do === 'read') {
          workers[action.slot]?.read();
        } else {
          broker.workerGone(action.slot);
          workers[action.slot] = new ModelWorker(action.slot, broker);
        }
      }
      for (let rounds = 0; rounds < 200; rounds++) {
        turns.endAll();
        for (const worker of workers) worker.read();
        if (!turns.isScheduled && everybody().every(({ subscriber }) => subscriber.isLive)) break;
      }
      for (const { subscriber } of everybody()) {
        if (!subscriber.isLive) throw new Error('a subscriber waits without end');
        check(subscriber, published);
        heard += subscriber.heard.length;
        told += Number(subscriber.hasLost);
      }
    }),
    { seed: SEED, numRuns: 1000 },
  );
  t.ok(heard > 10_000 && told > 500, `${heard} messages received, ${told} gaps reported`);
  t.end();
});
