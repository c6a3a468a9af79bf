// Revocations that are written into the log again: when, by which node, and how many.
import t from 'tap';

import { MegacometError } from '../../lib/base/errors.js';
import { valuesOf } from '../../lib/base/metric.js';
import { RevocationRepeats } from '../../lib/broker/revocation-repeats.js';
import { keyOf, type RevocationRow } from '../../lib/broker/revocations.js';

const MIB = 1024 * 1024;
const rowOf = (user: string): RevocationRow => ({ user, id: '', beforeS: 1, endsAtS: 2 });

/** Repeats of one node over a log that takes every order, or none. */
class World {
  nowMs = 0;
  isDown = false;
  readonly orders: Readonly<Record<string, unknown>>[] = [];
  readonly rows = new Map<string, RevocationRow>();
  readonly log;
  readonly repeats: RevocationRepeats;

  constructor({ keepBytes = 8 * MIB, keepAgeMs = Infinity, rank = 0 } = {}) {
    this.log = {
      ...{ appliedBytes: 0, rank, keeps: { bytes: keepBytes, ageMs: keepAgeMs } },
      order: (order: Readonly<Record<string, unknown>>): Promise<void> => this.#take(order),
    };
    this.repeats = new RevocationRepeats({
      log: this.log,
      now: () => this.nowMs,
      find: (key) => this.rows.get(key),
    });
  }

  /** The log has an entry with the revocation. */
  revoke(user: string): void {
    this.rows.set(keyOf(rowOf(user)), rowOf(user));
    this.repeats.applied(rowOf(user), this.nowMs);
  }

  /** The users that one check writes again, or the order. */
  async check(): Promise<string[]> {
    this.orders.length = 0;
    this.repeats.check();
    await new Promise(setImmediate);
    return this.orders.map(({ do: name, row }) =>
      name === 'revoke' ? (row as RevocationRow).user : String(name),
    );
  }

  get repeated(): number {
    return valuesOf(RevocationRepeats.METRICS, this.repeats).revocationsRepeatedTotal;
  }

  #take(order: Readonly<Record<string, unknown>>): Promise<void> {
    if (this.isDown) return Promise.reject(new MegacometError('ERR_LOG', 'a test'));
    this.orders.push(order);
    this.log.appliedBytes += 200;
    if (order['do'] === 'revoke') this.repeats.applied(order['row'] as RevocationRow, this.nowMs);
    return Promise.resolve();
  }
}

t.test('a revocation is repeated after half of the bytes that the log keeps', async (t) => {
  const world = new World();
  world.revoke('ada');
  world.log.appliedBytes = MIB;
  world.revoke('bob');
  world.log.appliedBytes = 4 * MIB - 1;
  t.same(await world.check(), []);
  world.log.appliedBytes = 4 * MIB;
  t.same(await world.check(), ['ada']);
  t.same(await world.check(), [], 'once');
  world.log.appliedBytes = 5 * MIB;
  t.same(await world.check(), ['bob']);
  world.log.appliedBytes = 10 * MIB;
  t.same(await world.check(), ['ada', 'bob'], 'and again');
  t.equal(world.repeated, 4);
});

t.test('and after half of the time', async (t) => {
  const world = new World({ keepAgeMs: 300_000 });
  world.revoke('ada');
  world.nowMs = 149_999;
  t.same(await world.check(), []);
  world.nowMs = 150_000;
  t.same(await world.check(), ['ada']);
});

t.test('a revocation that another node repeats, or that has ended, is not', async (t) => {
  const world = new World();
  for (const user of ['ada', 'bob', 'eve']) world.revoke(user);
  world.log.appliedBytes = 4 * MIB;
  world.revoke('ada');
  world.rows.delete(keyOf(rowOf('bob')));
  t.same(await world.check(), ['eve']);
});

t.test('the first of the nodes repeats; each other one waits for it', async (t) => {
  const dueAt = async (rank: number): Promise<number> => {
    const world = new World({ rank });
    world.revoke('ada');
    while ((await world.check()).length === 0) world.log.appliedBytes += MIB / 4;
    return (world.log.appliedBytes - 200) / MIB;
  };
  t.same(await Promise.all([0, 1, 2, 4, 100].map(dueAt)), [4, 4.5, 5, 6, 6]);
});

t.test('after a loss all are repeated, by the first node that lives', async (t) => {
  for (const [rank, waitMs] of [0, 3000, 6000].entries()) {
    const world = new World({ rank });
    world.revoke('ada');
    world.revoke('bob');
    world.log.appliedBytes = 1000;
    world.repeats.lost();
    if (rank > 0) {
      world.nowMs = waitMs - 1;
      t.same(await world.check(), []);
    }
    world.nowMs = waitMs;
    t.same(await world.check(), ['ada', 'bob']);
    t.same(await world.check(), []);
  }
});

t.test('a node that missed entries asks the others', async (t) => {
  const world = new World();
  world.repeats.missed();
  world.isDown = true;
  t.same(await world.check(), []);
  world.isDown = false;
  t.same(await world.check(), [], 'not at once');
  world.nowMs = 1000;
  t.same(await world.check(), ['repeat-revocations']);
  t.same(await world.check(), []);
  t.equal(world.repeated, 0);
});

t.test('an order that the log does not take is tried again after a second', async (t) => {
  const world = new World();
  world.revoke('ada');
  world.repeats.lost();
  world.isDown = true;
  t.same(await world.check(), []);
  world.isDown = false;
  t.same(await world.check(), []);
  t.equal(world.repeated, 0);
  world.nowMs = 1000;
  t.same(await world.check(), ['ada']);
});

t.test('many are repeated in parts, and displace few messages', async (t) => {
  const world = new World({ keepBytes: MIB });
  for (let count = 0; count < 10_000; count++) world.revoke(`user ${count}`);
  world.log.appliedBytes = 1;
  world.repeats.lost();
  let written = 0;
  for (;;) {
    const users = await world.check();
    if (users.length === 0) break;
    t.ok(users.length <= 500, 'some milliseconds of work');
    written += users.length;
  }
  // A quarter of 1 MiB, and a quarter of the bytes that the repeats add.
  t.ok(written > 1500 && written < 3000, `${written} of 10,000`);
  world.log.appliedBytes += MIB / 4;
  t.ok((await world.check()).length > 300, 'the rest follows with the messages of others');
});

t.test('a server without a log repeats nothing', (t) => {
  const repeats = new RevocationRepeats(null);
  repeats.applied(rowOf('ada'), 0);
  repeats.lost();
  repeats.missed();
  repeats.check();
  t.equal(valuesOf(RevocationRepeats.METRICS, repeats).revocationsRepeatedTotal, 0);
  t.end();
});
