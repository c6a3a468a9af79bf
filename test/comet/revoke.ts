// Revoking tokens and disconnecting users: over HTTP and the library, on every transport and worker.
import { connect, type Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import t, { type Test } from 'tap';

import { REVOCATIONS_MAX } from '../../lib/base/native-constants.js';
import { nowS, Secret } from '../support/client-tokens.js';
import { Program, startComet, type World } from '../support/comet-world.js';
import { until } from '../support/helpers.js';
import { CommandClient, handshake } from '../support/websocket-peer.js';

const PATHS = ['/events', '/stream', '/poll', '/ws'] as const;

/** A subscriber of channel a over a plain socket. */
class Subscriber {
  readonly #socket: Socket;
  text = '';
  isClosed = false;

  constructor(t: Test, port: number, path: string, token: string) {
    const target = `${path}?channel=a&token=${token}`;
    this.#socket = connect(port, '127.0.0.1');
    this.#socket.setEncoding('latin1').on('data', (text: string) => (this.text += text));
    this.#socket.on('error', () => undefined).on('close', () => (this.isClosed = true));
    this.#socket.write(
      path === '/ws' ? handshake(target) : `GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`,
    );
    t.teardown(() => this.#socket.destroy());
  }

  /** Whether it is closed; a poll has its answer. */
  get isEnded(): boolean {
    return this.isClosed || this.text.includes(' 204 ');
  }

  get status(): string {
    return this.text.split(' ')[1] ?? '';
  }
}

/** One subscriber of each transport. */
function subscribeAll(t: Test, port: number, token: string): Subscriber[] {
  return PATHS.map((path) => new Subscriber(t, port, path, token));
}

async function start(t: Test, options: object = {}): Promise<World & { secret: Secret }> {
  const secret = new Secret(t);
  const world = await startComet(t, { workers: 2, tokenKey: [secret.option], ...options });
  return { ...world, secret };
}

function subscriptions({ server }: World): number {
  return server.stats().workers.reduce((sum, worker) => sum + Number(worker.subscriptions), 0);
}

const READ = { subscribe: ['a'] };

t.test(
  'a revoked user is disconnected on every transport, and is rejected from then on',
  async (t) => {
    const world = await start(t);
    const ada = world.secret.token({ sub: 'ada', grants: READ });
    const bob = world.secret.token({ sub: 'bob', grants: READ });
    const adas = Array.from({ length: 4 }, () => subscribeAll(t, world.port, ada)).flat();
    const bobs = subscribeAll(t, world.port, bob);
    await until('all subscriptions', () => subscriptions(world) === 20);
    await world.server.revoke({ user: 'ada', beforeSeconds: nowS() });
    await until('their ends', () => adas.every(({ isEnded }) => isEnded));
    await until('only the other user', () => subscriptions(world) === 4);
    t.ok(
      bobs.every(({ isClosed }) => !isClosed),
      'others stay',
    );
    for (const path of PATHS) {
      const again = new Subscriber(t, world.port, path, ada);
      await until('the answer', () => again.status !== '');
      t.equal(again.status, '401', path);
      t.match(again.text, /token: revoked/);
    }
    const newer = world.secret.token({ sub: 'ada', grants: READ, iat: nowS() + 5 });
    const returned = new Subscriber(t, world.port, '/events', newer);
    await until('the answer', () => returned.status !== '');
    t.equal(returned.status, '200', 'a token that was issued later counts');
  },
);

t.test('one token is revoked by its id, and others of its user stay', async (t) => {
  const world = await start(t);
  const claims = { sub: 'ada', grants: READ };
  const first = subscribeAll(t, world.port, world.secret.token({ ...claims, jti: 'first' }));
  subscribeAll(t, world.port, world.secret.token({ ...claims, jti: 'second' }));
  subscribeAll(t, world.port, world.secret.token(claims));
  await until('all subscriptions', () => subscriptions(world) === 12);
  const client = new CommandClient(
    world.port,
    `/ws?token=${world.secret.token({ ...claims, jti: 'first' })}`,
  );
  await client.open();
  await world.server.revoke({ id: 'first' });
  t.equal(await client.closed, 3000);
  await until('the others', () => subscriptions(world) === 8);
  await until('its ends', () => first.every(({ isEnded }) => isEnded));
});

t.test(
  'a revoked token for one channel ends its subscriptions on every transport and worker',
  async (t) => {
    const world = await start(t);
    const { secret, port, server } = world;
    const ada = secret.token({ sub: 'ada', grants: { subscribe: ['b'] } });
    const bob = secret.token({ sub: 'bob', grants: READ });
    const first = secret.token({ channel: 'a', jti: 'first' });
    const second = secret.token({ channel: 'a', jti: 'second' });
    const subscribe = (token: string, ticket: string): Subscriber[] =>
      subscribeAll(t, port, `${token}&channel_token=${ticket}`);
    const ending = Array.from({ length: 4 }, () => subscribe(ada, first)).flat();
    const others = [...subscribe(ada, second), ...subscribe(bob, first)];
    await until('all subscriptions', () => subscriptions(world) === 24);
    await server.revoke({ id: 'first' });
    // Published after the revocation, so its subscribers have left.
    await server.publish('a', 'published later');
    await until('the message', () => others.every(({ text }) => text.includes('published later')));
    await until('the ends', () => subscriptions(world) === others.length - 2);
    for (const [index, { text, isClosed }] of ending.entries()) {
      t.notMatch(text, 'published later');
      if (PATHS[index % PATHS.length] !== '/ws') continue;
      t.match(text, '{"type":"unsubscribed","channels":["a"]}');
      t.notOk(isClosed, 'a WebSocket stays');
    }
    await until('the ends', () => ending.every(({ isEnded }, at) => isEnded || at % 4 === 3));
    const again = new Subscriber(t, port, '/events', `${ada}&channel_token=${first}`);
    await until('the answer', () => again.status !== '');
    t.match(again.text, /^HTTP\/1\.1 401 [^]*token: revoked/);
  },
);

t.test('the last token of a WebSocket for a channel counts, and none after it left', async (t) => {
  const world = await start(t, { workers: 1 });
  const { secret, server } = world;
  const client = new CommandClient(world.port, `/ws?token=${secret.token({ sub: 'ada' })}`);
  await client.open();
  const say = async (command: object): Promise<void> => {
    const before = client.told.length;
    client.say(JSON.stringify(command));
    await until('the answer', () => client.told.length > before);
  };
  const ticket = (channel: string, jti?: string): string => secret.token({ channel, jti });
  const subscribe = (channel: string, jti?: string): Promise<void> =>
    say({ type: 'subscribe', channel, token: ticket(channel, jti) });
  await subscribe('a', 'old');
  await subscribe('a', 'new');
  await subscribe('b', 'left');
  await say({ type: 'unsubscribe', channel: 'b' });
  await subscribe('b');
  await subscribe('c', 'dated');
  const told = client.told.length;
  for (const id of ['old', 'left', 'unknown']) await server.revoke({ id });
  await server.revoke({ id: 'dated', beforeSeconds: nowS() - 100 });
  for (const channel of ['a', 'b', 'c']) await server.publish(channel, 'x');
  await until('the messages', () => client.messages.length === 3);
  t.equal(client.told.length, told, 'no subscription has ended');
  await server.revoke({ id: 'new' });
  await until('the end', () => client.told.length > told);
  t.strictSame(JSON.parse(client.told.at(-1) ?? ''), { type: 'unsubscribed', channels: ['a'] });
  client.say(JSON.stringify({ type: 'subscribe', channel: 'a', token: ticket('a', 'new') }));
  await until('the error', () => client.told.length > told + 1);
  t.match(client.told.at(-1), /token: revoked/);
  client.close();
});

t.test('a time revokes older tokens only, and tokens without iat', async (t) => {
  const world = await start(t);
  const claims = { sub: 'ada', grants: READ };
  const old = subscribeAll(t, world.port, world.secret.token({ ...claims, iat: nowS() - 100 }));
  const fresh = subscribeAll(t, world.port, world.secret.token(claims));
  const undated = subscribeAll(t, world.port, world.secret.token({ ...claims, iat: undefined }));
  await until('all subscriptions', () => subscriptions(world) === 12);
  await world.server.revoke({ user: 'ada', beforeSeconds: nowS() - 50 });
  await until('the newer ones', () => subscriptions(world) === 4);
  await until('their ends', () => [...old, ...undated].every(({ isEnded }) => isEnded));
  t.ok(fresh.every(({ isClosed }) => !isClosed));
});

t.test('a server without keys knows no users', async (t) => {
  const { server } = await startComet(t, { workers: 1 });
  const message =
    /the server reads no tokens or certificates and has no hook, so its clients have no user$/;
  await t.rejects(server.revoke({ user: 'ada' }), { code: 'ERR_OPTION_INVALID', message });
  await t.rejects(server.disconnect({ user: 'ada' }), { code: 'ERR_OPTION_INVALID', message });
});

t.test('a disconnected user may return', async (t) => {
  const world = await start(t);
  const ada = world.secret.token({ sub: 'ada', grants: READ });
  const adas = subscribeAll(t, world.port, ada);
  const bobs = subscribeAll(t, world.port, world.secret.token({ sub: 'bob', grants: READ }));
  await until('all subscriptions', () => subscriptions(world) === 8);
  await world.server.disconnect({ user: 'ada' }, 'maintenance');
  await until('the other user', () => subscriptions(world) === 4);
  t.ok(bobs.every(({ isClosed }) => !isClosed));
  await until('the reason', () => adas[3]?.text.includes('maintenance') === true);
  subscribeAll(t, world.port, ada);
  await until('both users', () => subscriptions(world) === 8);
});

t.test(
  'POST /revoke and /kick take users, and a worker that starts later knows them',
  async (t) => {
    const secret = new Secret(t);
    const program = await Program.start(t, {
      args: ['--token-key', secret.option, '--workers', '1'],
      expectLog: [/^worker died$/],
    });
    const token = secret.token({ sub: 'ada', grants: READ });
    const subscriber = new Subscriber(t, program.port, '/events', token);
    await program.untilTotal('subscriptions', 1);
    t.equal(await program.post('/kick', { user: 'ada' }), 200);
    await until('the end', () => subscriber.isClosed);
    t.equal(await program.post('/revoke', { user: 'ada' }), 200);
    // A worker may accept a client before the manager's frame arrives: then it ends that client.
    const rejected = async (): Promise<void> => {
      const isRejected = async (): Promise<boolean> => {
        const again = new Subscriber(t, program.port, '/events', token);
        await until('the answer', () => again.status !== '');
        await until('the end', () => again.isClosed);
        return /^HTTP\/1\.1 401 .*token: revoked/s.test(again.text);
      };
      await until('a rejection', isRejected);
    };
    await rejected();
    process.kill(await program.server.pidOf(0), 'SIGKILL');
    await until('its successor', () => program.server.workerPids.length === 2);
    await rejected();
    for (const [body, message] of [
      [{}, /either user or id is required/],
      [{ user: 'a', id: 'b' }, /either user or id is required/],
      [{ user: '' }, /revoke: user: "" is not a text of 1 to 200 bytes/],
      [{ user: 5 }, /revoke: user: 5 is not a text/],
      [{ id: 'x'.repeat(201) }, /is not a text of 1 to 200 bytes/],
      [{ user: 'a', beforeSeconds: 1.5 }, /beforeSeconds: 1.5 is not a whole number/],
      [{ user: 'a', keepSeconds: 2_678_401 }, /keepSeconds: 2678401 is not/],
      [{ user: 'a', keepSeconds: 0 }, /keepSeconds: 0 is not a whole number between 1 and 2678400/],
      [{ user: 'a', other: 1 }, /unknown key "other"/],
    ] as const) {
      const response = await program.request('/revoke', body);
      t.equal(response.status, 400);
      const { error } = (await response.json()) as { error: string };
      t.match(error, message);
    }
    await program.server.stop();
  },
);

const TOKEN = 'of-the-service-alone';

t.test('a full table of revocations gets 429 without Retry-After', async (t) => {
  const { server } = await start(t, { workers: 1, adminPort: 0, adminToken: TOKEN });
  const post = (body: object): Promise<Response> =>
    fetch(`http://127.0.0.1:${server.adminPort}/revoke`, {
      method: 'POST',
      headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  for (let count = 0; count < REVOCATIONS_MAX; count++) {
    await server.revoke({ user: `user ${count}` });
    // The worker must be able to follow.
    if (count % 1000 === 0) await setImmediate();
  }
  const full = await post({ user: 'ada' });
  t.equal(full.status, 429);
  t.equal(full.headers.get('retry-after'), null);
  t.match(await full.json(), { code: 'ERR_BUSY', error: /^revoke: 100000 revocations are kept/ });
  t.equal((await post({ user: 'user 5' })).status, 200, 'a known user needs no room');
});
