// Recovery with an engine that returns scripted pages: the order and the time of the answers.
import t from 'tap';

import { valuesOf } from '../../lib/base/metric.js';
import type { HistoryEngine, HistoryPage, HistoryRange } from '../../lib/broker/history-engine.js';
import { Recovery } from '../../lib/broker/recovery.js';
import type { ReplayRequest } from '../../lib/broker/replay-requests.js';
import { Outgoing } from '../../lib/ipc/outgoing.js';
import { FakePort, publishFrame } from '../support/fakes/comet.js';
import { story } from '../support/fakes/broker.js';

const EPOCH = 5n;
const REQUEST: ReplayRequest = {
  fd: 7,
  generation: 3,
  hasSince: 1,
  epoch: EPOCH,
  number: 2n,
  bytesMax: 1000,
  channels: ['a', 'n/*'],
};
const LIVE_ONLY: ReplayRequest = { ...REQUEST, hasSince: 0, epoch: 0n, number: 0n };

/** An engine that notes each range and answers it with one page. */
class ScriptedEngine implements Pick<HistoryEngine, 'page'> {
  readonly ranges: HistoryRange[] = [];
  bytes: Buffer = Buffer.alloc(0);
  flags = { lastNumber: 9, isLast: true, hasGap: false };

  page(range: HistoryRange): HistoryPage {
    this.ranges.push(range);
    const { bytes } = this;
    return {
      ...this.flags,
      size: bytes.length,
      copyTo: (target, at) => {
        bytes.copy(target, at);
      },
    };
  }
}

class Bench {
  readonly engine = new ScriptedEngine();
  readonly ports = [new FakePort(0), new FakePort(1)] as const;
  readonly full = new Set<number>();
  readonly recovery: Recovery;
  readonly #outgoing: Outgoing;

  constructor() {
    this.#outgoing = new Outgoing(() => {
      throw new Error('a worker overflowed');
    });
    for (const port of this.ports) this.#outgoing.attach(port);
    this.recovery = new Recovery({
      engine: this.engine as unknown as HistoryEngine,
      outgoing: this.#outgoing,
      lines: { hasRoom: (slot) => !this.full.has(slot) },
    });
  }

  get counters(): Readonly<Record<string, number>> {
    return valuesOf(Recovery.METRICS, this.recovery);
  }

  /** Ends a loop iteration. Returns whether requests are left that can be answered. */
  end(): boolean {
    const hasMore = this.recovery.flush();
    this.#outgoing.flush();
    return hasMore;
  }

  pages(slot: 0 | 1): string[] {
    return story(this.ports[slot].take());
  }
}

t.test('a request becomes a range, and its page carries the address of the request', (t) => {
  const bench = new Bench();
  bench.engine.bytes = publishFrame(3, 'a', 'x');
  t.equal(bench.recovery.onRequest(0, REQUEST), true);
  t.same(bench.engine.ranges, [], 'a request with a cursor waits for the end of the iteration');
  t.equal(bench.end(), false);
  t.same(bench.engine.ranges, [
    { channels: ['a', 'n/*'], since: { epoch: EPOCH, number: 2n }, bytesMax: 1000 },
  ]);
  const [frame] = bench.ports[0].take();
  t.match(frame, { name: 'ReplayPage', fields: { fd: 7, generation: 3 } });
  t.same(frame === undefined ? [] : story([frame]), ['page 3>9']);
  t.same(bench.pages(1), [], 'the other worker receives nothing');
  t.match(bench.counters, {
    replayPagesTotal: 1,
    replayPageBytesTotal: bench.engine.bytes.length,
    replayGapsTotal: 0,
  });
  t.end();
});

t.test('a page has flags for further pages and for lost messages', (t) => {
  const bench = new Bench();
  bench.engine.flags = { lastNumber: 4, isLast: false, hasGap: true };
  bench.recovery.onRequest(0, REQUEST);
  bench.end();
  bench.engine.flags = { lastNumber: 9, isLast: true, hasGap: false };
  bench.recovery.onRequest(0, REQUEST);
  bench.end();
  t.same(bench.pages(0), ['page >4 more lost', 'page >9']);
  t.match(bench.counters, { replayPagesTotal: 2, replayGapsTotal: 1 });
  t.end();
});

t.test('a request without a cursor is answered at once, before later publishes', (t) => {
  const bench = new Bench();
  t.equal(bench.recovery.onRequest(0, LIVE_ONLY), true);
  t.match(bench.engine.ranges, [{ since: null }]);
  t.equal(bench.counters['replayRequestsWaiting'], 0);
  bench.end();
  t.same(bench.pages(0), ['page >9']);
  t.end();
});

t.test('requests of a worker with a full stream wait, and block no other worker', (t) => {
  const bench = new Bench();
  bench.full.add(0);
  bench.recovery.onRequest(0, LIVE_ONLY);
  bench.recovery.onRequest(0, REQUEST);
  bench.recovery.onRequest(1, REQUEST);
  t.equal(bench.end(), false, 'a blocked request does not keep the loop busy');
  t.same([bench.pages(0), bench.pages(1)], [[], ['page >9']]);
  t.equal(bench.recovery.isBlocked, true);
  t.equal(bench.counters['replayRequestsWaiting'], 2);
  bench.full.delete(0);
  bench.end();
  t.same(bench.pages(0), ['page >9', 'page >9']);
  t.equal(bench.recovery.isBlocked, false);
  t.match(
    bench.engine.ranges.map(({ since }) => since === null),
    [false, true, false],
    'the requests of a worker keep their order',
  );
  t.end();
});

t.test('a loop iteration answers 1024 requests at most, and both workers get a share', (t) => {
  const bench = new Bench();
  for (let index = 0; index < 1000; index++) {
    bench.recovery.onRequest(0, REQUEST);
    bench.recovery.onRequest(1, REQUEST);
  }
  t.equal(bench.end(), true, 'more requests can be answered');
  const [first, second] = [bench.pages(0).length, bench.pages(1).length];
  t.same([first, second], [512, 512]);
  t.equal(bench.end(), false);
  t.same([bench.pages(0).length, bench.pages(1).length], [488, 488]);
  t.end();
});

t.test('more than 1024 open requests of a worker violate the protocol', (t) => {
  const bench = new Bench();
  for (let index = 0; index < 1024; index++) {
    if (!bench.recovery.onRequest(0, REQUEST)) t.fail(`request ${index} was rejected`);
  }
  t.equal(bench.recovery.onRequest(0, REQUEST), false);
  t.equal(bench.recovery.onRequest(1, REQUEST), true, 'the limit is per worker');
  t.end();
});

t.test('the requests of a dead worker are forgotten, blocked or not', (t) => {
  const bench = new Bench();
  bench.full.add(0);
  bench.recovery.onRequest(0, REQUEST);
  bench.end();
  bench.recovery.onRequest(1, REQUEST);
  bench.recovery.workerGone(0);
  bench.recovery.workerGone(1);
  t.equal(bench.recovery.isBlocked, false);
  bench.full.delete(0);
  t.equal(bench.end(), false);
  t.same(bench.engine.ranges, []);
  t.equal(bench.counters['replayRequestsWaiting'], 0);
  t.end();
});
