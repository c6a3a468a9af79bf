// The supervisor with fake processes and a manual clock, so that no test starts a process or waits.
import t, { type Test } from 'tap';

import { MegacometError } from '../../lib/base/errors.js';
import type { FrameName } from '../../lib/ipc/frames.js';
import type { Frame, Frames } from '../../lib/ipc/frames.js';
import { DRAIN_S, KILL_GRACE_MS } from '../../lib/base/stop-times.js';
import type { ChildHandlers } from '../../lib/ipc/spawn.js';
import { DRAIN } from '../../lib/options/serve-options.js';
import { Supervisor, type WorkerEvent, type WorkerProcess } from '../../lib/manager/supervisor.js';
import { ManualClock } from '../support/manual-clock.js';

const HEARTBEAT_LIMIT_MS = 4000;
/** docker stop --time, by default. */
const DOCKER_STOP_MS = 10_000;
const SERVED = { version: 'x', layout: 1n, descriptors: 20, connectionsMax: 500 };

/** A fake worker that a test controls. */
class FakeWorker implements WorkerProcess {
  readonly queuedBytes = 0;
  readonly signals: string[] = [];
  readonly sent: FrameName[] = [];
  isHeld = false;
  isStopped = false;
  hasHungUp = false;
  isAbandoned = false;
  #onHeld: (() => void) | undefined;

  constructor(
    readonly pid: number,
    readonly slot: number,
    readonly handlers: ChildHandlers<Frames>,
  ) {}

  send(name: FrameName): void {
    this.sent.push(name);
  }

  write(): void {
    throw new Error('the supervisor writes no frames of the broker');
  }

  kill(signal: NodeJS.Signals): void {
    this.signals.push(signal);
  }

  end(onHeld: () => void): void {
    this.signals.push('SIGKILL');
    this.#onHeld = onHeld;
  }

  hangUp(): void {
    this.hasHungUp = true;
  }

  abandon(): void {
    this.isAbandoned = true;
  }

  ready(version = 'x'): void {
    this.handlers.onFrame({ name: 'Ready', fields: { ...SERVED, version } });
  }

  exit(signal: NodeJS.Signals | null = 'SIGSEGV', cause = ''): void {
    this.handlers.onEnd({ code: signal === null ? 0 : null, signal, cause });
  }

  reportHeld(): void {
    this.#onHeld?.();
  }
}

/** A supervisor with its fake environment. */
class World {
  readonly clock = new ManualClock(1000);
  readonly workers: FakeWorker[] = [];
  readonly events: string[] = [];
  readonly lines: string[] = [];
  readonly frames: string[] = [];
  readonly shutDown: number[] = [];
  readonly ages = new Map<number, number>();
  changes = 0;
  spawnError: Error | null = null;
  readyError: Error | null = null;
  readonly supervisor: Supervisor;

  constructor(slots: number, startsInFlightMax = slots) {
    const line =
      (level: string) =>
      (fields: object, message: string): void =>
        void this.lines.push(`${level} ${message} ${JSON.stringify(fields)}`);
    const ignore = (): void => undefined;
    this.supervisor = new Supervisor(
      { slots, startsInFlightMax, heartbeatLimitMs: HEARTBEAT_LIMIT_MS },
      {
        clock: this.clock,
        log: { debug: ignore, info: line('info'), warn: line('warn'), error: line('error') },
        spawn: (slot, handlers) => {
          if (this.spawnError !== null) throw this.spawnError;
          const worker = new FakeWorker(100 + this.workers.length, slot, handlers);
          this.workers.push(worker);
          return worker;
        },
        readHeartbeats: () => (slot) => this.ages.get(slot) ?? 0,
        onStarted: (_, worker) => {
          worker.send('Watch', { listener: 0, on: 1 });
        },
        isSameBuild: ({ version }) => version === 'x',
        onReady: () => {
          if (this.readyError !== null) throw this.readyError;
        },
        onFrame: (slot, { name }) => void this.frames.push(`${slot} ${name}`),
        onDrained: ignore,
        onExited: (slot) => void this.ages.delete(slot),
        onChange: () => {
          this.changes++;
        },
        onEvent: ({ slot, state }: WorkerEvent) => {
          this.events.push(`${slot} ${state}`);
        },
        shutDown: (slot) => void this.shutDown.push(slot),
      },
    );
  }

  /** The process of a slot that was started last. */
  at(slot: number): FakeWorker {
    const worker = this.workers.findLast((other) => other.slot === slot);
    if (worker === undefined) throw new Error(`slot ${slot} was never started`);
    return worker;
  }

  /** Starts all workers, and makes them ready. */
  async serve(): Promise<void> {
    const started = this.supervisor.start();
    for (const { slot } of this.supervisor.registry.slots) this.at(slot).ready();
    await started;
  }
}

async function failureOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'resolved',
    (error: unknown) => {
      if (!(error instanceof MegacometError)) throw error;
      return `${error.code}: ${error.message}`;
    },
  );
}

t.test('start() resolves when each worker has been ready', async (t) => {
  const world = new World(3, 2);
  let isStarted = false;
  const started = world.supervisor.start().then(() => (isStarted = true));
  t.same(
    world.workers.map(({ slot }) => slot),
    [0, 1],
    'two starts are in flight',
  );
  world.at(0).ready();
  t.equal(world.workers.length, 3, 'the third follows');
  world.at(1).ready();
  await Promise.resolve();
  t.equal(isStarted, false);
  t.equal(world.supervisor.isStarting, true);
  world.at(2).ready();
  await started;
  t.equal(world.supervisor.isStarting, false);
  t.same(world.events.slice(0, 3), ['0 started', '1 started', '0 ready']);
  t.same(world.lines, [], 'a healthy start logs nothing here');
});

t.test('a worker that dies is replaced at once, and again after growing pauses', async (t) => {
  const world = new World(1);
  await world.serve();
  world.clock.advance(6000);
  world.at(0).exit();
  t.equal(world.workers.length, 2, 'at once');
  t.same(world.events.slice(-2), ['0 exited', '0 started']);
  t.match(world.lines[0], /^error worker died .*"signal":"SIGSEGV"/);
  for (const pauseMs of [200, 400, 800]) {
    const { length } = world.workers;
    const before = length === 2 ? 100 : pauseMs / 2;
    world.at(0).exit('SIGABRT', 'check failed');
    world.clock.advance(before);
    t.equal(world.workers.length, length, `not within ${before} ms`);
    world.clock.advance(before + 2);
    t.equal(world.workers.length, length + 1, 'the pause ends later');
  }
  t.match(world.lines.at(-1), /^error worker died: check failed /);
});

t.test('start() fails after five failures of one slot', async (t) => {
  const world = new World(2);
  const failed = failureOf(world.supervisor.start());
  for (let count = 0; count < 5; count++) {
    world.at(0).exit(null, 'no memory\nsecond line');
    world.clock.advance(5000);
  }
  t.equal(
    await failed,
    'ERR_WORKER_START: worker 0 failed to start 5 times: no memory second line',
  );
});

t.test('a process that cannot be created is tried again', async (t) => {
  const world = new World(1);
  world.spawnError = new MegacometError('ERR_WORKER_START', 'no more processes');
  const started = world.supervisor.start();
  const line = 'error no more processes {"worker":0}';
  t.same(world.lines, [line, line], 'the first retry is immediate, the next after a pause');
  world.spawnError = null;
  world.clock.advance(99);
  t.equal(world.workers.length, 0);
  world.clock.advance(2);
  world.at(0).ready();
  await started;
});

t.test('a port that fails when a worker is ready ends the start', async (t) => {
  const world = new World(1);
  world.readyError = new MegacometError('ERR_LISTEN', 'cannot listen');
  const failed = failureOf(world.supervisor.start());
  world.at(0).ready();
  t.equal(await failed, 'ERR_LISTEN: cannot listen');
});

t.test('a worker that is not ready within 30 s is killed', (t) => {
  const world = new World(1);
  void world.supervisor.start();
  world.clock.advance(29_999);
  t.same(world.at(0).signals, []);
  world.clock.advance(1);
  t.same(world.at(0).signals, ['SIGKILL']);
  t.match(world.lines, [/^error worker not ready in time; killed .*"pid":100/]);
  t.end();
});

t.test('a worker of another build is killed', (t) => {
  const world = new World(1);
  void world.supervisor.start();
  world.at(0).ready('y');
  t.same(world.at(0).signals, ['SIGKILL']);
  t.match(world.lines, [/^error files changed on disk .*"version":"y"/]);
  t.end();
});

t.test('a worker without heartbeats is late, then hung, and its successor serves', async (t) => {
  const world = new World(2);
  await world.serve();
  const frozen = world.at(0);
  const tick = (ageMs: number): void => {
    world.ages.set(0, ageMs);
    world.clock.advance(1000);
  };
  tick(2999);
  t.equal(world.supervisor.registry.at(0).state, 'serving');
  tick(3500);
  tick(3900);
  t.equal(world.supervisor.registry.at(0).state, 'late');
  tick(4100);
  t.equal(world.supervisor.registry.at(0).state, 'hung');
  t.same(frozen.signals, ['SIGABRT'], 'SIGABRT first: it leaves a core dump');
  t.same(
    world.events.filter((event) => /late|hung/.test(event)),
    ['0 late', '0 hung'],
    'each state is reported once',
  );
  world.clock.advance(1000);
  t.same(frozen.signals, ['SIGABRT', 'SIGKILL']);
  t.equal(world.supervisor.limitsHung, 0.25, 'one second of a limit of four seconds');
  frozen.exit('SIGKILL');
  t.equal(world.supervisor.limitsHung, 0);
  world.at(0).ready();
  t.equal(world.supervisor.registry.at(0).generation, 2);
  t.equal(world.supervisor.registry.at(1).generation, 1, 'the other worker stays');
});

t.test('a hung worker that is stopped sees no SIGABRT, and is killed at once', async (t) => {
  const world = new World(1);
  await world.serve();
  const worker = world.at(0);
  worker.isStopped = true;
  world.ages.set(0, HEARTBEAT_LIMIT_MS);
  world.clock.advance(1000);
  t.same(worker.signals, ['SIGKILL']);
});

t.test('a frame that does not fit the state of its worker ends that worker', async (t) => {
  const cases: [name: 'Goodbye' | 'Ready', fields: object][] = [
    ['Ready', SERVED],
    ['Goodbye', { closed: 0 }],
  ];
  for (const [name, fields] of cases) {
    const world = new World(2);
    await world.serve();
    world.at(0).handlers.onFrame({ name, fields } as Frame);
    t.same(world.at(0).signals, ['SIGKILL'], name);
    t.same(world.at(1).signals, [], 'the other worker stays');
    t.match(world.lines.join(), `worker is not trustworthy; replaced: unexpected frame ${name}`);
    t.equal(world.supervisor.workerFaults, 1);
    t.same(world.shutDown, [], 'no door is closed');
    world.at(0).exit('SIGKILL');
    t.equal(world.at(0).pid, 102, 'a successor starts');
  }
});

t.test('time in which the kernel holds a hung worker does not count', async (t) => {
  const world = new World(1);
  await world.serve();
  world.ages.set(0, 4100);
  world.at(0).isHeld = true;
  world.clock.advance(1000);
  t.equal(world.supervisor.registry.at(0).state, 'hung');
  world.clock.advance(10 * HEARTBEAT_LIMIT_MS);
  t.equal(world.supervisor.limitsHung, 0);
  world.at(0).isHeld = false;
  t.equal(world.supervisor.limitsHung, 0, 'nor at the moment when the kernel releases it');
  world.clock.advance(HEARTBEAT_LIMIT_MS);
  t.equal(world.supervisor.limitsHung, 1, 'from then on it counts');
  world.at(0).exit('SIGKILL');
  t.equal(world.supervisor.limitsHung, 0);
});

t.test('a late worker whose heartbeat returns serves again', async (t) => {
  const world = new World(1);
  await world.serve();
  world.ages.set(0, 3500);
  world.clock.advance(1000);
  t.equal(world.supervisor.registry.at(0).state, 'late');
  world.ages.set(0, 100);
  world.clock.advance(1000);
  t.equal(world.supervisor.registry.at(0).state, 'serving');
  t.same(world.at(0).signals, []);
});

t.test('a manager that was paused gives its workers time for a heartbeat', async (t) => {
  const world = new World(1);
  await world.serve();
  world.clock.jump(60_000);
  world.ages.set(0, 60_000);
  world.clock.advance(1000);
  t.equal(world.supervisor.registry.at(0).state, 'late', 'not hung');
  t.ok(world.supervisor.periodsUnsupervised <= 1, 'the supervision runs again');
  world.clock.advance(HEARTBEAT_LIMIT_MS);
  t.equal(world.supervisor.registry.at(0).state, 'hung', 'one heartbeat limit later');
});

function fieldsOf(t: Test, line: string | undefined): unknown {
  t.type(line, 'string');
  return JSON.parse((line ?? '').slice((line ?? '').indexOf('{')));
}

t.test('a worker that the kernel holds keeps its slot, and is logged', async (t) => {
  const world = new World(1);
  await world.serve();
  world.supervisor.replace(0, 'too slow');
  world.at(0).isHeld = true;
  world.at(0).reportHeld();
  t.match(world.lines, [/^error too slow /, /^error worker cannot be killed; its slot is unavail/]);
  t.same(fieldsOf(t, world.lines[1]), { worker: 0, pid: 100 });
  t.equal(world.workers.length, 1, 'no successor before its end');
  world.at(0).exit('SIGKILL');
  t.equal(world.workers.length, 2);
  world.supervisor.replace(5, 'a slot without a process');
  t.equal(world.lines.length, 3, 'is ignored');
});

t.test('a drain asks the workers that serve, and drops one that starts', async (t) => {
  const world = new World(3);
  await world.serve();
  world.clock.advance(6000);
  world.at(1).exit();
  world.at(2).exit();
  world.at(2).exit();
  const drained = world.supervisor.drain(500);
  t.same(world.at(0).sent, ['Watch', 'Drain']);
  t.equal(world.at(1).hasHungUp, true, 'the worker that starts is dropped');
  t.same(world.shutDown, [2], 'the listener of the slot without a process');
  world.at(0).exit(null);
  world.at(1).exit(null);
  t.same(await drained, [], 'no worker had to be killed');
  t.same(
    world.supervisor.registry.slots.map(({ state }) => state),
    ['gone', 'gone', 'waiting'],
  );
  t.equal(world.clock.pending, 0, 'no timer is left');
});

t.test('a drain kills workers that have not exited two seconds after its end', async (t) => {
  const world = new World(2);
  await world.serve();
  const drained = world.supervisor.drain(500);
  world.at(0).exit(null);
  t.same(world.shutDown, [0], 'the listener of a worker that has exited is shut down');
  world.ages.set(1, 3000);
  world.clock.advance(1000);
  t.same(world.shutDown, [0, 1], 'nor for a worker without heartbeats');
  world.clock.advance(1499);
  t.same(world.at(1).signals, []);
  world.clock.advance(1);
  t.same(world.at(1).signals, ['SIGKILL']);
  world.at(1).exit('SIGKILL');
  t.same(await drained, [101]);
});

t.test('a drained worker rejects clients until the others have drained', async (t) => {
  const world = new World(3);
  await world.serve();
  const drained = world.supervisor.drain(500);
  world.at(1).handlers.onFrame({ name: 'Goodbye', fields: { closed: 1 } });
  world.clock.advance(400);
  t.equal(world.at(1).hasHungUp, false, 'its door stays open');
  world.at(2).exit('SIGSEGV');
  t.same(world.shutDown, [2], 'that of a worker that died does not');
  world.at(0).handlers.onFrame({ name: 'Goodbye', fields: { closed: 1 } });
  t.same(
    [0, 1].map((slot) => world.at(slot).hasHungUp),
    [true, true],
  );
  t.same(world.shutDown, [2, 0, 1, 2], 'the kernel rejects new clients');
  world.at(0).exit(null);
  world.at(1).exit(null);
  t.same(await drained, [], 'no worker had to be killed');
});

t.test('a worker that has drained does not count as killed', async (t) => {
  const world = new World(2);
  await world.serve();
  const drained = world.supervisor.drain(500);
  world.at(0).handlers.onFrame({ name: 'Goodbye', fields: { closed: 1 } });
  world.clock.advance(2500);
  t.equal(world.at(0).hasHungUp, true);
  world.at(0).exit('SIGKILL');
  world.at(1).exit('SIGKILL');
  t.same(await drained, [101]);
});

t.test('a drain ends although the kernel holds a worker', async (t) => {
  const world = new World(1);
  await world.serve();
  world.at(0).isHeld = true;
  const drained = world.supervisor.drain(0);
  world.clock.advance(2000 + KILL_GRACE_MS);
  t.same(await drained, [100]);
  t.equal(world.at(0).isAbandoned, true);
  t.match(world.lines, [/^error worker cannot be killed; the server exits without it /]);
});

t.test('a stop with the default drain ends before docker stop kills the server', async (t) => {
  const world = new World(1);
  await world.serve();
  world.at(0).isHeld = true;
  const drained = world.supervisor.drain(DRAIN_S * 1000);
  // The worst case: a worker that neither drains nor dies. Docker waits 10 s after SIGTERM.
  world.clock.advance(DOCKER_STOP_MS - 1000);
  t.same(await drained, [100]);
  t.equal(DRAIN.default, DRAIN_S, 'the default of --drain');
});

t.test('a drain during the start ends the start', async (t) => {
  const world = new World(1);
  const failed = failureOf(world.supervisor.start());
  const drained = world.supervisor.drain(0);
  t.equal(await failed, 'ERR_NOT_RUNNING: the server was closed while it was starting');
  world.at(0).ready();
  t.same(world.events, ['0 started'], 'a late Ready is ignored');
  world.at(0).exit(null);
  t.same(await drained, []);
});

t.test('frames other than Ready are passed on with their slot', async (t) => {
  const world = new World(2);
  await world.serve();
  world.at(1).handlers.onFrame({ name: 'CapacityChange', fields: { connections: 1 } });
  t.same(world.frames, ['1 CapacityChange']);
});
