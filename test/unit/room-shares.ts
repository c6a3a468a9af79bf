// How the room of --max-connections is shared among the workers.
import t from 'tap';

import { allowancesOf, RoomShares, type RoomDemand } from '../../lib/manager/room-shares.js';
import { seededRandom } from '../support/random.js';

function demandsOf(open: readonly number[], capacity: number): RoomDemand[] {
  return open.map((count, slot) => ({ slot, open: count, capacity }));
}

t.test('allowances are the open connections and an even part of the rest', (t) => {
  const cases: [
    open: number[],
    capacity: number,
    waiting: number[],
    max: number,
    want: number[],
  ][] = [
    [[0, 0], 100, [], 10, [5, 5]],
    [[8, 0], 100, [], 10, [9, 1]],
    [[0, 0, 0, 0], 100, [], 3, [1, 1, 1, 0]],
    [[0, 0, 0, 0], 100, [3], 3, [1, 1, 0, 1]],
    [[0, 0, 0, 0], 100, [3], 1, [0, 0, 0, 1]],
    [[2, 2], 3, [], 10, [3, 3]],
    [[5, 0], 8, [], 16, [8, 8]],
    [[5, 5], 100, [], 10, [5, 5]],
    [[5, 5], 100, [0], 4, [5, 5]],
    [[5, 5], 0, [0], 100, [5, 5]],
  ];
  for (const [open, capacity, waiting, max, want] of cases) {
    const name = `${open.join()} of ${max}, ${waiting.join()} waits`;
    t.same(allowancesOf(demandsOf(open, capacity), new Set(waiting), max), want, name);
  }
  t.end();
});

/** Workers that take connections as far as they are allowed. */
class World {
  readonly open: number[];
  readonly allowances: number[];
  readonly told: string[] = [];
  readonly shares: RoomShares;

  constructor(slots: number) {
    this.open = new Array<number>(slots).fill(0);
    this.allowances = [...this.open];
    this.shares = new RoomShares(slots, {
      grant: (slot, allowance) => {
        this.allowances[slot] = Math.max(allowance, this.open[slot] ?? 0);
        return this.allowances[slot] ?? 0;
      },
      tell: (slot, isFull) => this.told.push(`${slot} ${isFull ? 'full' : 'room'}`),
    });
  }

  share(max: number): void {
    this.shares.share(demandsOf(this.open, 100), max);
  }
}

t.test('a worker that waits is answered when it has room, or when the server is full', (t) => {
  const world = new World(2);
  world.share(2);
  t.same(world.allowances, [1, 1]);
  world.open[0] = 1;
  world.shares.wait(0);
  world.share(2);
  t.same(world.allowances, [2, 0], 'the room of the other worker is its own now');
  t.same(world.told, ['0 room']);
  t.notOk(world.shares.isWanted);

  world.shares.wait(1);
  world.shares.wait(0);
  world.share(2);
  t.ok(world.shares.isWanted, 'one of two gets the last room, and may not use it');
  world.open[0] = 2;
  world.share(2);
  t.ok(world.shares.isFull);
  t.same(world.told.slice(-2), ['0 full', '1 full']);
  t.notOk(world.shares.isWanted, 'no worker waits for room on a full server');

  world.open[0] = 1;
  world.share(2);
  t.same(world.told.slice(-2), ['0 room', '1 room'], 'a connection has closed');
  t.end();
});

t.test('a dead worker leaves its room to the others', (t) => {
  const world = new World(2);
  world.share(10);
  world.open[0] = 5;
  world.shares.workerGone(0);
  world.open[0] = 0;
  world.shares.share(
    [
      { slot: 0, open: 0, capacity: 0 },
      { slot: 1, open: 0, capacity: 100 },
    ],
    10,
  );
  t.equal(world.allowances[1], 10);
  t.end();
});

t.test('the allowances never exceed the limit, and no room is left over', (t) => {
  const random = seededRandom(t);
  const upto = (most: number): number => Math.floor(random() * (most + 1));
  const world = new World(5);
  for (let round = 0; round < 5000; round++) {
    const slot = upto(4);
    const allowance = world.allowances[slot] ?? 0;
    world.open[slot] = upto(allowance);
    if (upto(3) === 0) world.shares.wait(upto(4));
    const max = 37;
    world.share(max);
    const sum = world.allowances.reduce((total, part) => total + part, 0);
    if (sum !== max) {
      t.equal(sum, max, `round ${round}`);
      break;
    }
  }
  t.pass('5000 rounds');
  t.end();
});
