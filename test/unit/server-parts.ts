// The parts of a server without a process: its state, its limits, and the listeners of its events.
import { EventEmitter } from 'node:events';

import t from 'tap';

import type { Capacity } from '../../lib/capacity/capacity.js';
import type { Manager } from '../../lib/manager/manager.js';
import { Parts } from '../../lib/server/parts.js';
import {
  hasPresenceListener,
  onListenerChange,
  type ServerEvents,
} from '../../lib/server/server-events.js';
import { fill } from '../../lib/server/server-options.js';
import { ServerState } from '../../lib/server/server-state.js';
import { limitsOf, withMaxConnections } from '../../lib/server/worker-limits.js';
import { WorkerMemory } from '../../lib/stats/stats.js';

const CAPACITY: Capacity = {
  workers: 4,
  maxConnections: 100,
  workerConnectionsMax: 50,
  binding: 'max-connections',
  warning: null,
};

/** Parts whose manager has one slot in each of some states. */
function partsWith(states: readonly string[], isStopping = false): Parts {
  const slots = states.map((state, slot) => ({ slot, state }));
  const manager = { registry: { slots }, isStopping, openConnections: () => 7 };
  return Object.assign(new Parts(), {
    capacity: CAPACITY,
    manager: manager as unknown as Manager,
  });
}

function stateOf(parts: Parts, isListening = true): ServerState {
  return new ServerState({
    protocol: 'echo',
    parts,
    memory: new WorkerMemory(() => undefined),
    isListening: () => isListening,
  });
}

t.test('a server is ready while half of its workers serve, and none drains', (t) => {
  const half = ['serving', 'serving', 'starting', 'waiting'];
  t.same(stateOf(partsWith(half)).readiness(), {
    isReady: true,
    isDraining: false,
    notServing: [
      { slot: 2, state: 'starting' },
      { slot: 3, state: 'waiting' },
    ],
  });
  t.equal(stateOf(partsWith(['serving', 'late', 'late'])).readiness().isReady, false);
  t.equal(stateOf(partsWith(half), false).readiness().isReady, false, 'before listen() ends');
  t.match(stateOf(partsWith(half, true)).readiness(), { isReady: false, isDraining: true });
  t.same(stateOf(new Parts()).readiness(), { isReady: false, isDraining: false, notServing: [] });
  t.end();
});

t.test('the health of a server without a manager is that of a server that drains', (t) => {
  t.match(stateOf(new Parts()).health(), { connections: 0, slots: 0, isDraining: true });
  t.match(stateOf(partsWith(['serving'])).health(), {
    connections: 7,
    maxConnections: 100,
    slots: 4,
    isDraining: false,
  });
  t.end();
});

t.test('a server that is not running says so', (t) => {
  const parts = new Parts();
  t.throws(() => parts.running(), { code: 'ERR_NOT_RUNNING' });
  t.throws(() => stateOf(parts).stats(), { code: 'ERR_NOT_RUNNING' });
  t.throws(() => partsWith(['serving']).broker(), { code: 'ERR_NOT_RUNNING' }, 'without comet');
  t.end();
});

t.test('the limit of connections may grow to what the workers were started for', (t) => {
  t.equal(withMaxConnections(CAPACITY, 200).maxConnections, 200);
  t.throws(() => withMaxConnections(CAPACITY, 201), {
    code: 'ERR_OPTION_INVALID',
    message:
      'max-connections: 201 is more than the 200 connections that the workers were started for',
  });
  t.same(limitsOf(CAPACITY, fill({ idleTimeout: 5, acceptRate: 6 })), {
    maxConnections: 100,
    workerConnectionsMax: 50,
    idleTimeout: 5,
    acceptRate: 6,
  });
  t.end();
});

t.test('each change of the listeners is reported after it has happened', async (t) => {
  const server = new EventEmitter<ServerEvents>();
  const found: boolean[] = [];
  onListenerChange(server, () => found.push(hasPresenceListener(server)));
  const listener = (): void => undefined;
  server.on('worker', listener);
  await Promise.resolve();
  server.on('unsubscribe', listener);
  await Promise.resolve();
  server.off('unsubscribe', listener);
  await Promise.resolve();
  t.same(found.slice(-3), [false, true, false]);
});
