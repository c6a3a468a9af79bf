// The parts of a server without a process: its state, its limits, and the listeners of its events.
import { EventEmitter } from 'node:events';

import t from 'tap';

import type { Capacity } from '../../lib/capacity/capacity.js';
import type { Manager } from '../../lib/manager/manager.js';
import { Parts, type Phase } from '../../lib/server/parts.js';
import {
  hasPresenceListener,
  type ServerEvents,
  watchListeners,
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
function partsWith(states: readonly string[], phase: Phase = 'listening'): Parts {
  const slots = states.map((state, slot) => ({ slot, state }));
  const manager = { registry: { slots }, openConnections: () => 7 };
  return Object.assign(new Parts('echo'), {
    capacity: CAPACITY,
    manager: manager as unknown as Manager,
    phase,
  });
}

function stateOf(parts: Parts): ServerState {
  return new ServerState({
    options: fill({}),
    parts,
    memory: new WorkerMemory(() => undefined),
  });
}

t.test('a server is ready while half of its workers serve, and none drains', (t) => {
  const half = ['serving', 'serving', 'starting', 'waiting'];
  t.same(stateOf(partsWith(half)).readiness(), {
    isReady: true,
    isDraining: false,
    isLogReady: null,
    notServing: [
      { slot: 2, state: 'starting' },
      { slot: 3, state: 'waiting' },
    ],
  });
  t.equal(stateOf(partsWith(['serving', 'late', 'late'])).readiness().isReady, false);
  t.equal(stateOf(partsWith(half, 'starting')).readiness().isReady, false, 'before listen() ends');
  t.match(stateOf(partsWith(half, 'closing')).readiness(), { isReady: false, isDraining: true });
  t.same(stateOf(new Parts('echo')).readiness(), {
    isReady: false,
    isDraining: false,
    isLogReady: null,
    notServing: [],
  });
  t.end();
});

t.test('health and readiness agree on whether the server drains, in each phase', (t) => {
  const phases: Phase[] = ['new', 'starting', 'listening', 'closing', 'closed'];
  for (const phase of phases) {
    const parts = Object.assign(new Parts('echo'), { phase });
    const isDraining = phase === 'closing' || phase === 'closed';
    t.match(stateOf(parts).health(), { connections: 0, slots: 0, isDraining }, phase);
    t.match(stateOf(parts).readiness(), { isReady: false, isDraining }, phase);
  }
  t.match(stateOf(partsWith(['serving'])).health(), {
    connections: 7,
    maxConnections: 100,
    slots: 4,
    isDraining: false,
  });
  t.end();
});

t.test('a server that is not running says so', (t) => {
  const parts = new Parts('echo');
  t.throws(() => parts.running(), { code: 'ERR_NOT_RUNNING' });
  t.throws(() => stateOf(parts).stats(), { code: 'ERR_NOT_RUNNING' });
  const rows: [Phase, RegExp][] = [
    ['new', /has not started; call listen\(\) first$/],
    ['starting', /is still starting/],
    ['closing', /is closing$/],
    ['closed', /is closed$/],
  ];
  for (const [phase, message] of rows) {
    const parts = Object.assign(new Parts('comet'), { phase });
    t.throws(() => parts.broker(), { code: 'ERR_NOT_RUNNING', message }, phase);
  }
  t.throws(
    () => partsWith(['serving']).broker(),
    { code: 'ERR_NOT_RUNNING', message: "this server speaks echo; give protocol: 'comet'" },
    'without comet',
  );
  t.end();
});

t.test('the limit of connections may grow to the number that the workers were started for', (t) => {
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
  const onChange = (): void => {
    queueMicrotask(() => found.push(hasPresenceListener(server)));
  };
  watchListeners(server, onChange);
  watchListeners(server, onChange);
  t.equal(server.listenerCount('newListener' as never), 1, 'one watcher, however often it is set');
  const listener = (): void => undefined;
  server.on('worker', listener);
  await Promise.resolve();
  server.on('unsubscribe', listener);
  await Promise.resolve();
  server.off('unsubscribe', listener);
  await Promise.resolve();
  t.same(found.slice(-3), [false, true, false]);
});
