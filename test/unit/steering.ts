// Steering: the weights and watchers that follow from the free capacity of each slot. No sockets.
import t from 'tap';

import { silentLogger } from '../../lib/base/logger.js';
import type { SlotRecord, SlotState } from '../../lib/manager/registry.js';
import {
  freeCapacities,
  Steering,
  watchersOf,
  weightsOf,
  type SteeredAddress,
} from '../../lib/manager/steering.js';

function slotOf(slot: number, state: SlotState, connectionsMax: number): SlotRecord {
  const rest = { pid: 1, generation: 1, failures: 0, startAtMs: 0, readyAtMs: 0, hasServed: true };
  return { slot, state, connectionsMax, ...rest };
}

t.test('only slots that serve have free capacity', (t) => {
  const states: SlotState[] = ['serving', 'late', 'hung', 'starting', 'waiting', 'draining'];
  const slots = states.map((state, slot) => slotOf(slot, state, 100));
  t.same(
    freeCapacities(slots, 1000, () => 30),
    [70, 0, 0, 0, 0, 0],
  );
  t.same(
    freeCapacities([slotOf(0, 'serving', 100), slotOf(1, 'serving', 100)], 50, (slot) => slot * 60),
    [50, 0],
    'limited by the configuration, and never below 0',
  );
  t.end();
});

t.test('the hash is used while the free capacities are similar', (t) => {
  t.equal(weightsOf([100, 75], [0, 1]), undefined);
  t.same(weightsOf([100, 74], [0, 1]), [100, 74]);
  t.same(weightsOf([100, 0, 100], [0, 1, 2]), [100, 0, 100], 'a frozen worker gets weight 0');
  t.equal(weightsOf([100, 0, 100], [0, 2]), undefined, 'a slot that does not listen is ignored');
  t.equal(weightsOf([0, 0], [0, 1]), undefined, 'without free capacity the hash is used');
  t.end();
});

t.test('the slots with most free capacity watch a shared socket', (t) => {
  const none = new Set<number>();
  t.same(watchersOf([5, 50, 20, 0], none, 10, 2), new Set([1, 2]));
  t.same(
    watchersOf([5, 0, 0], none, 10, 2),
    new Set([0]),
    'a slot near capacity watches if no other slot can',
  );
  t.same(watchersOf([0, 0], none, 10, 2), none, 'no slot has free capacity');
  t.end();
});

t.test('a slot that watches keeps watching until it is near capacity', (t) => {
  const watching = new Set([2]);
  t.same(watchersOf([50, 50, 11], watching, 10, 1), new Set([2]));
  t.same(watchersOf([50, 60, 10], watching, 10, 1), new Set([1]));
  t.same(watchersOf([9, 9, 5], watching, 10, 1), new Set([2]), 'all are near capacity');
  t.end();
});

class Address implements SteeredAddress {
  readonly listening = [0, 1];
  readonly steered: (readonly number[] | undefined)[] = [];
  error: string | null = null;

  constructor(readonly isShared: boolean) {}

  steer(weights: readonly number[] | undefined): string | null {
    this.steered.push(weights);
    return this.error;
  }
}

t.test('each address is steered by its kind: weights, or watchers', (t) => {
  const [own, shared] = [new Address(false), new Address(true)];
  const watches: [number, number, boolean][] = [];
  const steering = new Steering(
    [own, shared],
    1,
    (slot, listener, isOn) => void watches.push([slot, listener, isOn]),
    silentLogger,
  );
  steering.steer([100, 50], 1000);
  t.same(own.steered, [[100, 50]]);
  t.same(shared.steered, [], 'a shared socket has no weights');
  t.same(watches, [[0, 1, true]], 'one watcher, on the listener with index 1');
  steering.steer([0, 50], 1000);
  t.same(watches.slice(1), [
    [0, 1, false],
    [1, 1, true],
  ]);
  steering.workerGone(1);
  steering.steer([0, 50], 1000);
  t.same(watches.slice(3), [[1, 1, true]], 'a successor starts to watch');
  t.end();
});

t.test('a kernel that rejects steering is logged once', (t) => {
  const lines: [object, string][] = [];
  const log = {
    ...silentLogger,
    warn: (fields: object, message: string) => void lines.push([fields, message]),
  };
  const address = new Address(false);
  const steering = new Steering([address], 1, () => undefined, log);
  steering.steer([100, 0], 1000);
  t.same(lines, []);
  address.error = 'ENOPROTOOPT';
  for (let round = 0; round < 3; round++) steering.steer([100, 0], 1000);
  t.same(lines, [
    [{ err: 'ENOPROTOOPT' }, 'kernel rejects steering; its hash distributes connections'],
  ]);
  t.equal(address.steered.length, 4, 'the next round tries again');
  t.end();
});
