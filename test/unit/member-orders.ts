// Disconnecting one connection by its name: the answers of workers, and workers without one.
import t from 'tap';

import { MemberOrders } from '../../lib/broker/member-orders.js';
import { framesIn } from '../support/fakes/comet.js';
import { ManualClock } from '../support/manual-clock.js';

const ANSWER_MS = 5000;

/** Orders to two workers. A member is named by its slot. */
class Workers {
  readonly clock = new ManualClock();
  /** The numbers of the orders, and their slots. */
  readonly sent: [number, number][] = [];
  readonly orders = new MemberOrders(
    {
      send: (bytes, [slot = -1]) => {
        for (const frame of framesIn(bytes)) {
          if (frame.name === 'Disconnect') this.sent.push([frame.fields.request, slot]);
        }
      },
    },
    {
      addressOf: (member) =>
        member === 'unknown' ? null : { slot: Number(member), fd: 5, generation: 7 },
    },
    this.clock,
  );

  answer(slot: number, connections: number, at = this.sent.length - 1): void {
    this.orders.onDisconnected(slot, { request: this.sent[at]?.[0] ?? 0, connections });
  }
}

t.test('the worker says whether the connection was open', async (t) => {
  const workers = new Workers();
  const open = workers.orders.disconnect('0', '');
  workers.answer(0, 1);
  const gone = workers.orders.disconnect('1', '');
  workers.answer(1, 0);
  t.same(await Promise.all([open, gone]), [1, 0]);
  t.same(
    workers.sent.map(([, slot]) => slot),
    [0, 1],
  );
  t.equal(await workers.orders.disconnect('unknown', ''), 0);
  t.equal(workers.sent.length, 2, 'a name of no worker reaches none');
  t.equal(workers.clock.pending, 0);
});

t.test('only the answer of the worker that got the order counts, once', async (t) => {
  const workers = new Workers();
  const [first, second] = [workers.orders.disconnect('0', ''), workers.orders.disconnect('1', '')];
  workers.answer(1, 1, 0);
  workers.answer(0, 1, 1);
  workers.answer(1, 4_000_000_000, 1);
  workers.answer(0, 0, 0);
  workers.answer(0, 1, 0);
  t.same(await Promise.all([first, second]), [0, 1]);
});

t.test('a worker that dies had ended the connection, and one that hangs is busy', async (t) => {
  const workers = new Workers();
  const hung = workers.orders.disconnect('0', '');
  const dead = workers.orders.disconnect('1', '');
  workers.orders.workerGone(1);
  t.equal(await dead, 0);
  workers.clock.advance(ANSWER_MS);
  await t.rejects(hung, { code: 'ERR_BUSY', message: /^disconnect: the worker does not answer/ });
  workers.answer(0, 1, 0);
  t.equal(workers.clock.pending, 0);
});

t.test('a bounded number of orders waits', async (t) => {
  const workers = new Workers();
  const waiting = Array.from({ length: 10_000 }, () => workers.orders.disconnect('0', ''));
  t.throws(() => workers.orders.disconnect('0', ''), { code: 'ERR_BUSY' });
  workers.orders.workerGone(0);
  t.ok((await Promise.all(waiting)).every((connections) => connections === 0));
});
