// Hooks while processes fail: a worker that dies, a manager that is stopped, and an application that
// starts after the server. Each client gets an answer or an end, and the counters add up.
import type { ServerResponse } from 'node:http';

import t, { type Test } from 'tap';

import type { ServerOptions } from '../../lib/index.js';
import { AddressPeer, openIn, totalOf, TRANSPORTS } from '../support/address-peer.js';
import { Program, startComet, type Endpoint, type World } from '../support/comet-world.js';
import { until } from '../support/helpers.js';
import { answer, HookServer, type Asked } from '../support/hook-server.js';
import { frame, TEXT } from '../support/websocket-peer.js';

const ALLOW = { allow: true, channels: ['a'] };

/** A back end whose answers wait for the test. */
class SlowHook {
  readonly held: { readonly asked: Asked; readonly response: ServerResponse }[] = [];

  constructor(readonly server: HookServer) {
    server.behaviour = (asked, response) => this.held.push({ asked, response });
  }

  /** Answers the hook requests that wait. */
  release(body: object): void {
    for (const { asked, response } of this.held.splice(0)) answer(body)(asked, response);
  }
}

async function start(t: Test, options: ServerOptions = {}): Promise<World & { hook: SlowHook }> {
  const hook = new SlowHook(await HookServer.start(t));
  const world = await startComet(t, { workers: 1, ...hook.server.options, ...options });
  return { ...world, hook };
}

/** Whether each hook request has one end, in the manager. */
function isBalanced(hook: Readonly<Record<string, number>>, requests: number): boolean {
  const of = (name: string): number => Number(hook[name]);
  const decided = of('allowedTotal') + of('deniedTotal') + of('failedTotal');
  return (
    of('callsInFlight') === 0 &&
    decided === of('callsTotal') &&
    of('callsTotal') + of('cacheHitsTotal') + of('busyTotal') === requests
  );
}

/** A client of each transport. */
function openAll(t: Test, endpoint: Endpoint): AddressPeer[] {
  return TRANSPORTS.map((transport) =>
    AddressPeer.request(t, endpoint, {
      transport,
      query: transport === 'poll' ? '&timeout=1' : '',
    }),
  );
}

t.test('a worker that is killed ends its waiting clients, and its successor serves', async (t) => {
  const world = await start(t);
  const { hook, server } = world;
  const peers = openAll(t, world);
  await until('all hook requests', () => hook.held.length === peers.length);
  process.kill(Number(server.stats().workers[0]?.pid), 'SIGKILL');
  await until('their ends', () => peers.every(({ isClosed }) => isClosed));
  const late = hook.held.splice(0);
  await until('the successor', () => server.stats().workers[0]?.state === 'serving');
  const next = AddressPeer.request(t, world, {});
  await until('its hook request', () => hook.held.length === 1);
  for (const { asked, response } of late) answer(ALLOW)(asked, response);
  hook.release({ allow: false, status: 401 });
  t.equal(await next.answer(), '401', 'answers to the dead worker are not for the next client');
  await until('the counters', () => isBalanced(server.stats().hook ?? {}, peers.length + 1));
  await next.close();
  await until('no connection', () => openIn(world) === 0);
  t.equal(totalOf(world, 'inputBudgetBytes'), 0);
  t.equal(totalOf(world, 'hookUnansweredTotal'), 0);
});

t.test('a worker that is killed during a command ends its WebSocket', async (t) => {
  const world = await start(t, { public: ['a'] });
  const peer = AddressPeer.request(t, world, { transport: 'websocket' });
  await until('the subscription', () => peer.text.includes('"subscribed"'));
  peer.socket.write(frame(TEXT, '{"type":"subscribe","channel":"b"}'));
  await until('the hook request', () => world.hook.held.length === 1);
  process.kill(Number(world.server.stats().workers[0]?.pid), 'SIGKILL');
  await until('its end', () => peer.isClosed);
  world.hook.release({ allow: true });
  await until('the counters', () => isBalanced(world.server.stats().hook ?? {}, 1));
});

interface Stopped {
  readonly program: Program;
  readonly hook: SlowHook;
  readonly counters: () => Promise<Readonly<Record<string, number>>>;
}

/** A server in a process of its own, so that a test can stop its manager. */
async function launch(t: Test): Promise<Stopped> {
  const hook = new SlowHook(await HookServer.start(t));
  const { hookUrl, hookSecret } = hook.server.options;
  const args = ['--workers', '1', '--heartbeat-limit', '60', '--public', 'open'];
  const program = await Program.start(t, {
    args: [...args, '--hook-url', hookUrl, '--hook-secret', hookSecret],
  });
  const counters = async (): Promise<Readonly<Record<string, number>>> =>
    ((await program.server.stats()) as unknown as { hook: Record<string, number> }).hook;
  return { program, hook, counters };
}

const isAnswered = ({ text }: AddressPeer): boolean =>
  /^HTTP\/1\.1 503 [^]*\r\nRetry-After: \d+\r\n/.test(text) ||
  /^HTTP\/1\.1 200 [^]*event: megacomet\.unavailable\n/.test(text);

t.test('a manager that hangs has its workers reject the clients that wait', async (t) => {
  const { program, hook, counters } = await launch(t);
  // An idle WebSocket, whose command waits as well.
  const open = AddressPeer.request(t, program, {
    transport: 'websocket',
    query: '&channel=open',
  });
  await until('its hook request', () => hook.held.length === 1);
  hook.release(ALLOW);
  await until('the subscription', () => open.text.includes('"subscribed"'));
  process.kill(program.server.pid, 'SIGSTOP');
  open.socket.write(frame(TEXT, '{"type":"subscribe","channel":"b","id":"1"}'));
  const peers = openAll(t, program);
  await until('a rejection of each', () => peers.every((peer) => isAnswered(peer)));
  await until('an error', () => open.text.includes('no decision about this client now'));
  t.equal(hook.held.length, 0, 'no hook request');
  process.kill(program.server.pid, 'SIGCONT');
  await until('the hook requests', () => hook.held.length === peers.length + 1);
  hook.release({ allow: true });
  await until('the counters', async () => isBalanced(await counters(), peers.length + 2));
  await program.untilTotal('hookUnansweredTotal', peers.length + 1);
  t.equal(await program.server.total('hookRequestsTotal'), peers.length + 2);
  // The late answers were ignored; the next client has one of its own.
  const next = AddressPeer.request(t, program, { transport: 'stream' });
  await until('its hook request', () => hook.held.length === 1);
  hook.release({ allow: false });
  t.equal(await next.answer(), '403');
  open.socket.write(frame(TEXT, '{"type":"subscribe","channel":"open"}'));
  await until('the WebSocket to go on', () => open.text.split('"subscribed"').length === 3);
  await program.server.stop();
});

t.test('a manager that is stopped while the application answers answers afterwards', async (t) => {
  const { program, hook, counters } = await launch(t);
  const peers = openAll(t, program);
  await until('all hook requests', () => hook.held.length === peers.length);
  process.kill(program.server.pid, 'SIGSTOP');
  hook.release(ALLOW);
  process.kill(program.server.pid, 'SIGCONT');
  const hasEnd = (peer: AddressPeer): boolean => /^HTTP\/1\.1 (101|200|204) /.test(peer.text);
  await until('an answer of each', () => peers.every((peer) => hasEnd(peer) || isAnswered(peer)));
  await until('the counters', async () => isBalanced(await counters(), peers.length));
  t.equal(await program.server.total('hookUnansweredTotal'), 0);
  await program.server.stop();
});

t.test('an application that starts after the server decides from then on', async (t) => {
  const hook = await HookServer.start(t);
  const { options, port } = { options: hook.options, port: hook.port };
  hook.behaviour = answer(ALLOW);
  hook.close();
  const world = await startComet(t, { workers: 1, ...options });
  const ask = async (): Promise<string> => {
    const peer = AddressPeer.request(t, world, { transport: 'poll', query: '&timeout=0' });
    const status = await peer.answer();
    await peer.close();
    return status;
  };
  t.equal(await ask(), '503', 'it is down');
  t.equal(await ask(), '503');
  t.match(world.server.stats().hook, { callsTotal: 2, failedConnectionTotal: 2, failedTotal: 2 });
  await hook.listen(port);
  t.equal(await ask(), '204', 'it is up');
  hook.close();
  t.equal(await ask(), '503', 'it is down again');
  await hook.listen(port);
  t.equal(await ask(), '204');
  t.ok(isBalanced(world.server.stats().hook ?? {}, 5));
});
