// The interface to systemd: its environment, the health that the watchdog needs, and the order and
// period of notifications. Pure: the clock and the socket are fakes.
import t from 'tap';

import {
  formatHealth,
  reasonToWithhold,
  ServiceNotifier,
  type Health,
} from '../../lib/systemd/service.js';
import { readSystemd, takeSystemd, type Systemd } from '../../lib/systemd/systemd.js';
import { ManualClock } from '../support/manual-clock.js';

const NOTHING: Systemd = { sockets: [], notifySocket: null, watchdogMs: null, ignored: [] };

t.test('the environment of a service is read as sd_listen_fds(3) and sd_notify(3) do', (t) => {
  const rows: [string, NodeJS.ProcessEnv, Partial<Systemd>][] = [
    ['none', {}, {}],
    [
      'sockets with names',
      { LISTEN_PID: '7', LISTEN_FDS: '2', LISTEN_FDNAMES: 'a:b' },
      {
        sockets: [
          { fd: 3, name: 'a' },
          { fd: 4, name: 'b' },
        ],
      },
    ],
    [
      'without names',
      { LISTEN_PID: '7', LISTEN_FDS: '1' },
      { sockets: [{ fd: 3, name: 'unknown' }] },
    ],
    [
      'for another process',
      { LISTEN_PID: '8', LISTEN_FDS: '1' },
      { ignored: ['LISTEN_PID names process 8, not this one'] },
    ],
    ['LISTEN_FDS alone', { LISTEN_FDS: '1' }, {}],
    ['a path', { NOTIFY_SOCKET: '/run/x' }, { notifySocket: '/run/x' }],
    ['an abstract name', { NOTIFY_SOCKET: '@x' }, { notifySocket: '@x' }],
    [
      'neither',
      { NOTIFY_SOCKET: 'vsock:2:1' },
      { ignored: ['NOTIFY_SOCKET "vsock:2:1" is not a path or an @name'] },
    ],
    ['a watchdog', { WATCHDOG_USEC: '30000000' }, { watchdogMs: 30_000 }],
    ['for this process', { WATCHDOG_USEC: '30000000', WATCHDOG_PID: '7' }, { watchdogMs: 30_000 }],
    ['for another', { WATCHDOG_USEC: '30000000', WATCHDOG_PID: '8' }, {}],
    [
      'not a number',
      { WATCHDOG_USEC: 'soon' },
      { ignored: ['WATCHDOG_USEC "soon" is not a number of microseconds'] },
    ],
  ];
  for (const [name, env, wanted] of rows) {
    t.same(readSystemd(env, 7), { ...NOTHING, ...wanted }, name);
  }
  const env = { LISTEN_PID: '7', LISTEN_FDS: '1', NOTIFY_SOCKET: '/x', WATCHDOG_USEC: '1', A: 'b' };
  takeSystemd(env, 7);
  t.same(env, { A: 'b' }, 'the variables are removed, so that no child inherits them');
  t.end();
});

const HEALTHY: Health = {
  connections: 982_113,
  maxConnections: 1_000_000,
  slots: 56,
  notServing: [],
  isDraining: false,
  periodsUnsupervised: 0.3,
  limitsHung: 0,
};

const out = (count: number, state = 'hung'): Health['notServing'] =>
  Array.from({ length: count }, (_, slot) => ({ slot, state }));

t.test('the watchdog is notified while the manager does its task, and only then', (t) => {
  const rows: [string, Partial<Health>, string | null][] = [
    ['healthy', {}, null],
    ['the manager replaces a hung worker', { notServing: out(1), limitsHung: 2 }, null],
    ['all but one are hung', { notServing: out(55) }, null],
    ['no worker serves', { notServing: out(56) }, 'no worker is serving'],
    ['a worker cannot be replaced', { limitsHung: 3.1 }, 'a hung worker was not replaced'],
    ['supervision was late', { periodsUnsupervised: 1.9 }, null],
    ['supervision stopped', { periodsUnsupervised: 2.1 }, 'supervision is not running'],
    [
      'a drain has its own deadline',
      { isDraining: true, notServing: out(56, 'draining'), periodsUnsupervised: 99 },
      null,
    ],
  ];
  for (const [name, change, wanted] of rows) {
    t.equal(reasonToWithhold({ ...HEALTHY, ...change }), wanted, name);
  }
  t.end();
});

t.test('the status line has the load, and the slots that are not serving', (t) => {
  t.equal(formatHealth(HEALTHY), '982113 of 1000000 connections, 56 workers serve');
  const some = [
    { slot: 3, state: 'hung' },
    { slot: 17, state: 'waiting' },
  ];
  t.equal(
    formatHealth({ ...HEALTHY, notServing: some }),
    '982113 of 1000000 connections, 54 of 56 workers serve, not serving: slot 3 (hung), ' +
      '17 (waiting)',
  );
  const many = formatHealth({ ...HEALTHY, notServing: out(50) });
  t.match(many, /slot 0 \(hung\), .*, 7 \(hung\) and 42 more$/);
  t.equal(formatHealth({ ...HEALTHY, isDraining: true }), 'draining, 982113 connections left');
  t.end();
});

/** A notifier, its clock, and everything that it sent and logged. */
class World {
  readonly clock = new ManualClock();
  readonly messages: string[] = [];
  readonly lines: string[] = [];
  error: string | null = null;
  readonly service: ServiceNotifier;

  constructor(watchdogMs: number | null, notifySocket: string | null = '/socket') {
    const add =
      (level: string) =>
      (fields: object, message: string): void =>
        void this.lines.push(`${level} ${message} ${JSON.stringify(fields)}`);
    this.service = new ServiceNotifier(
      { ...NOTHING, notifySocket, watchdogMs },
      { debug: add('debug'), info: add('info'), warn: add('warn'), error: add('error') },
      this.clock,
      (_, lines) => {
        if (this.error === null) this.messages.push(lines.join(' '));
        return this.error;
      },
    );
  }

  /** Messages from the last call on. */
  take(): string[] {
    return this.messages.splice(0);
  }
}

t.test('a notifier sends READY=1 first, then the status, and the watchdog at a third', (t) => {
  const world = new World(600);
  world.service.ready(() => HEALTHY);
  t.same(world.take(), ['READY=1', 'WATCHDOG=1', `STATUS=${formatHealth(HEALTHY)}`]);
  world.clock.advance(199);
  t.same(world.take(), []);
  world.clock.advance(1);
  t.same(world.take(), ['WATCHDOG=1'], 'after 200 ms');
  world.clock.advance(2000);
  t.equal(world.take().length, 10, 'every 200 ms');
  world.service.close();
  world.clock.advance(2000);
  t.same(world.take(), [], 'nothing after close()');
  t.end();
});

t.test('a long watchdog period is checked every second, and notified at a third', (t) => {
  const world = new World(30_000);
  world.service.ready(() => HEALTHY);
  world.take();
  world.clock.advance(9000);
  t.same(world.take(), []);
  world.clock.advance(1000);
  t.same(world.take(), ['WATCHDOG=1']);
  t.end();
});

t.test('the watchdog notification is withheld while no worker serves', (t) => {
  const world = new World(600);
  let health = HEALTHY;
  world.service.ready(() => health);
  world.take();
  health = { ...HEALTHY, notServing: out(56) };
  world.clock.advance(2000);
  t.same(world.take(), [`STATUS=${formatHealth(health)}`], 'changed slots are sent at once');
  t.same(
    world.lines,
    ['error systemd watchdog notification withheld {"reason":"no worker is serving"}'],
    'each reason is logged once',
  );
  health = { ...health, notServing: [], limitsHung: 4 };
  world.clock.advance(200);
  t.match(world.lines[1], 'a hung worker was not replaced', 'another reason has its own line');
  health = HEALTHY;
  world.clock.advance(200);
  t.ok(world.take().includes('WATCHDOG=1'), 'the notifications resume');
  t.end();
});

t.test('a changed number of connections is sent after ten seconds', (t) => {
  const world = new World(null);
  let health = HEALTHY;
  world.service.ready(() => health);
  world.take();
  health = { ...HEALTHY, connections: 5 };
  world.clock.advance(9000);
  t.same(world.take(), []);
  world.clock.advance(1000);
  t.same(world.take(), [`STATUS=${formatHealth(health)}`]);
  world.clock.advance(60_000);
  t.same(world.take(), [], 'the same status is not sent again');
  t.end();
});

t.test('a reload is enclosed by RELOADING=1 and READY=1, except during the start', (t) => {
  const world = new World(null);
  let reloads = 0;
  const reload = (): void => {
    world.service.reload(() => {
      reloads++;
      world.messages.push('reload');
    });
  };
  reload();
  t.same(world.take(), ['reload'], 'READY=1 would end the start');
  let health = HEALTHY;
  world.service.ready(() => health);
  world.take();
  reload();
  const [first = '', ...others] = world.take();
  t.match(first, /^RELOADING=1 MONOTONIC_USEC=\d{6,}$/);
  t.same(others, ['reload', 'READY=1']);
  health = { ...HEALTHY, isDraining: true };
  reload();
  t.ok(!world.take().includes('READY=1'), 'a reload during a drain sends nothing');
  t.equal(reloads, 3);
  t.end();
});

t.test('a drain asks systemd for its time', (t) => {
  const world = new World(null);
  world.service.ready(() => HEALTHY);
  world.take();
  world.service.stopping(5, 30);
  // 30 s of drain, 10 s, and one second because of rounding up.
  t.equal(world.take()[0], 'STOPPING=1 EXTEND_TIMEOUT_USEC=41000000');
  const starting = new World(null);
  starting.service.stopping(0, 0);
  t.match(starting.take(), [/^STOPPING=1 /], 'also during the start');
  t.end();
});

t.test('a message that systemd must get is sent again until it arrives', (t) => {
  const world = new World(null);
  world.error = 'EAGAIN';
  world.service.ready(() => HEALTHY);
  world.clock.advance(5000);
  t.same(world.lines, ['debug cannot notify systemd {"err":"EAGAIN","socket":"/socket"}']);
  world.error = null;
  world.clock.advance(1000);
  t.same(world.take(), ['READY=1', `STATUS=${formatHealth(HEALTHY)}`]);
  t.end();
});

t.test('without a socket a notifier reads no health and starts no timer', (t) => {
  const world = new World(600, null);
  world.service.ready(() => {
    throw new Error('not read');
  });
  world.service.stopping(1, 1);
  t.equal(world.clock.pending, 0);
  t.same([...world.messages, ...world.lines], []);
  t.end();
});
