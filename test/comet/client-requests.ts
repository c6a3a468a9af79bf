// Commands of WebSocket clients that the manager answers: presence, history, and the acknowledgement
// of a publish. The grants, the members of the answers, and the errors without an answer.
import t, { type Test } from 'tap';

import { Secret } from '../support/client-tokens.js';
import { startComet, StreamClient, WebSocketClient, type World } from '../support/comet-world.js';
import { until } from '../support/helpers.js';

interface Members {
  user?: string;
  info?: unknown;
  connections: number;
}

interface Answer {
  type: string;
  id?: string;
  error?: string;
  channel?: string;
  cursor?: string;
  channels?: string[];
  members?: Members[];
  messages?: { data: string; cursor: string; channel: string }[];
  subscribers?: number;
  users?: number;
  complete?: boolean;
  recovered?: boolean;
}

interface Tokens extends World {
  readonly secret: Secret;
}

async function start(t: Test, options: object = {}): Promise<Tokens> {
  const secret = new Secret(t);
  const world = await startComet(t, {
    workers: 2,
    tokenKey: [secret.option],
    clientPublish: true,
    ...options,
  });
  return { ...world, secret };
}

/** A WebSocket that keeps all that it receives. */
class Asker extends WebSocketClient {
  readonly answers: Answer[] = [];

  constructor(world: World, token = '', channels: readonly string[] = []) {
    super(world, channels);
    this.token = token;
  }

  override async open(): Promise<void> {
    const opened = super.open();
    this.socket?.on('message', (data: Buffer) => {
      this.answers.push(JSON.parse(data.toString()) as Answer);
    });
    if (this.channels.length > 0) return opened;
    await until('the handshake', () => this.socket?.readyState === 1);
    this.isOpen = true;
    return opened;
  }

  /** Sends a command; its answer is the first one with its id. */
  async ask(command: { id: string; type: string; [member: string]: unknown }): Promise<Answer> {
    this.say(command);
    const find = (): Answer | undefined => this.answers.find(({ id }) => id === command.id);
    await until(`the answer to ${command.id}`, () => find() !== undefined);
    return find() ?? { type: '' };
  }
}

async function asker(t: Test, world: World, token = '', channels: string[] = []): Promise<Asker> {
  const client = new Asker(world, token, channels);
  t.teardown(() => {
    client.close();
  });
  await client.open();
  return client;
}

function subscriptions({ server }: World): number {
  return server.stats().workers.reduce((sum, worker) => sum + Number(worker.subscriptions), 0);
}

t.test(
  'presence shows users with info, and several connections of one are one member',
  async (t) => {
    const world = await start(t, { public: ['room'] });
    const { secret } = world;
    const ada = secret.token({
      sub: 'ada',
      info: { name: 'Ada', n: 1 },
      grants: { presence: ['room'] },
    });
    const bob = secret.token({ sub: 'bob', info: '"b"' });
    const first = await asker(t, world, ada, ['room']);
    for (const token of [ada, ada, bob, '', '']) {
      const client = new StreamClient(world, ['room']);
      client.token = token;
      await client.open();
      t.teardown(() => {
        client.close();
      });
    }
    await until('all', async () => (await world.server.presence('room')).subscribers === 6);
    const answer = await first.ask({ id: 'p', type: 'presence', channel: 'room' });
    const byUser = (one: { user?: string }, other: { user?: string }): number =>
      (one.user ?? '') < (other.user ?? '') ? -1 : 1;
    const wanted = [
      { connections: 2 },
      { user: 'ada', info: { name: 'Ada', n: 1 }, connections: 3 },
      { user: 'bob', info: '"b"', connections: 1 },
    ];
    t.same(
      { ...answer, members: answer.members?.sort(byUser) },
      {
        ...{ type: 'presence', id: 'p', channel: 'room', subscribers: 6, users: 2 },
        ...{ members: wanted, complete: true },
      },
    );
    const { members, ...rest } = await world.server.presence('room');
    t.same(rest, { channel: 'room', subscribers: 6, users: 2, isComplete: true });
    const shown = members.map(({ user, info, connections }) => ({ user, info, connections }));
    t.same(shown.sort(byUser), [{ user: '', info: undefined, connections: 2 }, ...wanted.slice(1)]);
    t.same(
      members.map(({ names }) => names.length),
      members.map(({ connections }) => connections),
    );
    const cut = await first.ask({ id: 'cut', type: 'presence', channel: 'room', limit: 1 });
    t.match(cut, { complete: false, subscribers: 6, users: 2 });
    t.equal(cut.members?.length, 1);
  },
);

t.test('history answers pages with cursors, in the order of publishing', async (t) => {
  const world = await start(t);
  const { server, secret } = world;
  const token = secret.token({ sub: 'ada', grants: { history: ['room', 'n/*'] } });
  const client = await asker(t, world, token);
  for (let at = 0; at < 25; at++) await server.publish('room', `m${at}`, { id: `i${at}` });
  await server.publish('n/1', 'other', { event: 'e' });
  await server.publish('n/1', Buffer.from([0, 255]));
  const seen: string[] = [];
  let since: string | undefined;
  for (let page = 0; page < 3; page++) {
    const answer = await client.ask({
      ...{ id: `h${page}`, type: 'history', channel: 'room', limit: 10 },
      ...(since === undefined ? {} : { since }),
    });
    t.match(answer, { type: 'history', channel: 'room', recovered: true, complete: page === 2 });
    seen.push(...(answer.messages ?? []).map(({ data }) => data));
    since = answer.cursor;
  }
  t.same(
    seen,
    Array.from({ length: 25 }, (_, at) => `m${at}`),
  );
  const end = await client.ask({ id: 'end', type: 'history', channel: 'room', since });
  t.match(end, { messages: [], complete: true, recovered: true });
  const pattern = await client.ask({ id: 'n', type: 'history', channel: 'n/*' });
  t.match(pattern.messages, [
    { channel: 'n/1', data: 'other', event: 'e' },
    { channel: 'n/1', data: 'AP8=', encoding: 'base64' },
  ]);
  const gone = await client.ask({
    ...{ id: 'gone', type: 'history', channel: 'room', since: `${'0'.repeat(15)}1.5` },
  });
  t.match(gone, { recovered: false, complete: true });
  t.equal(gone.messages?.length, 25, 'a cursor of another epoch gets all, and hears of the gap');
  const page = server.history('room', { limit: 2 });
  t.match(page, { channel: 'room', isComplete: false, isRecovered: true });
  t.same(
    page.messages.map(({ data, id, isBinary }) => [data.toString(), id, isBinary]),
    [
      ['m0', 'i0', false],
      ['m1', 'i1', false],
    ],
  );
});

t.test('a grant decides, or --public; a server that is open says nothing', async (t) => {
  const world = await start(t, { public: ['news/*'] });
  const { secret } = world;
  const open = await startComet(t, { workers: 1 });
  const publics = await startComet(t, { workers: 1, public: ['news/*'] });
  const hooked = await startComet(t, {
    workers: 1,
    public: ['news/*'],
    authorize: () => ({ allow: true, user: 'ada', info: 'private' }),
  });
  const may = (grants: object): string => secret.token({ sub: 'ada', grants });
  const rows: [string, World, string, string, string, boolean][] = [
    ['granted', world, may({ presence: ['a'] }), 'presence', 'a', true],
    ['granted', world, may({ history: ['a'] }), 'history', 'a', true],
    ['another action', world, may({ history: ['a'] }), 'presence', 'a', false],
    ['another action', world, may({ presence: ['a'] }), 'history', 'a', false],
    ['subscribe alone', world, may({ subscribe: ['a'] }), 'history', 'a', false],
    ['another name', world, may({ presence: ['b'] }), 'presence', 'a', false],
    ['a prefix', world, may({ presence: ['a/*'] }), 'presence', 'a/b', true],
    ['a longer name', world, may({ presence: ['a'] }), 'presence', 'a/b', false],
    ['a pattern', world, may({ history: ['a/b'] }), 'history', 'a/*', false],
    ['two Unicode forms', world, may({ presence: ['caf\u00e9'] }), 'presence', 'cafe\u0301', false],
    ['the same form', world, may({ presence: ['caf\u00e9'] }), 'presence', 'caf\u00e9', true],
    ['public history', world, may({}), 'history', 'news/1', true],
    ['public presence has users', world, may({}), 'presence', 'news/1', false],
    ['no token', world, '', 'history', 'news/1', true],
    ['no token', world, '', 'presence', 'news/1', false],
    ['public, without keys', publics, '', 'presence', 'news/1', true],
    ['public, without keys', publics, '', 'history', 'news/1', true],
    ['not public', publics, '', 'history', 'a', false],
    ['an application names users', hooked, '', 'presence', 'news/1', false],
    ['an application names users', hooked, '', 'history', 'news/1', true],
    ['open', open, '', 'presence', 'a', false],
    ['open', open, '', 'history', 'a', false],
  ];
  for (const [name, on, token, type, channel, isAllowed] of rows) {
    const client = await asker(t, on, token);
    const answer = await client.ask({ id: 'x', type, channel });
    if (isAllowed) t.match(answer, { type, channel, complete: true }, `${name}: ${type}`);
    else {
      const error = `${type}: not allowed here, or not with this token`;
      t.same(answer, { type: 'error', error, channel, id: 'x' }, `${name}: ${type} ${channel}`);
    }
    client.close();
  }
});

t.test('a wrong request gets an error with its id, and the connection stays', async (t) => {
  const world = await start(t);
  const token = world.secret.token({ sub: 'ada', grants: { history: ['*'], presence: ['*'] } });
  const client = await asker(t, world, token);
  const rows: [object, string][] = [
    [{ type: 'presence' }, 'channel: must be one name or pattern'],
    [{ type: 'presence', channels: ['a', 'b'] }, 'channel: must be one name or pattern'],
    [{ type: 'history', channel: 'a*' }, 'channel: must be one name or pattern'],
    [{ type: 'history', channel: 5 }, 'channel: must be a string or a list of strings'],
    [{ type: 'history', channel: 'a', since: 'x' }, 'since: not a cursor'],
    [
      { type: 'history', channel: 'a', limit: 1001 },
      'limit: must be a whole number of at most 1000',
    ],
    [
      { type: 'presence', channel: 'a', limit: -1 },
      'limit: must be a whole number of at most 1000',
    ],
    [
      { type: 'presence', channel: 'a', limit: '5' },
      'limit: must be a whole number of at most 1000',
    ],
    [
      { type: 'presence', channel: 'a', limit: 1.5 },
      'limit: must be a whole number of at most 1000',
    ],
  ];
  for (const [at, [command, error]] of rows.entries()) {
    const answer = await client.ask({ id: `w${at}`, type: '', ...command });
    t.match(answer, { type: 'error', error });
  }
  client.say({ type: 'presence', channel: 'a', id: 5 });
  client.say({ type: 'presence', channel: 'a', id: 'x'.repeat(129) });
  await until('both errors', () => client.errors.length === rows.length + 2);
  t.same(client.errors.slice(-2), ['id: must be a string', 'id: at most 128 bytes']);
  t.match(await client.ask({ id: 'last', type: 'ping' }), { type: 'pong', id: 'last' });
});

t.test('a publish with an id is acknowledged with its cursor', async (t) => {
  const world = await start(t);
  const token = world.secret.token({ sub: 'ada', grants: { publish: ['a'], subscribe: ['a'] } });
  const client = await asker(t, world, token, ['a']);
  client.say({ type: 'publish', channel: 'a', data: 'silent' });
  client.say({ id: 'm1', type: 'publish', channel: 'a', data: 'x' });
  const isMessage = ({ type }: Answer): boolean => type === 'message';
  const isPublished = ({ type }: Answer): boolean => type === 'published';
  // The message has the same id, and may arrive first.
  await until('both messages', () => client.answers.filter(isMessage).length === 2);
  await until('the answer', () => client.answers.some(isPublished));
  const published = client.answers.filter(isPublished);
  const cursor = client.answers.filter(isMessage)[1]?.cursor;
  t.same(published, [{ type: 'published', id: 'm1', channel: 'a', cursor }]);
  const rejected = await client.ask({ id: 'm2', type: 'publish', channel: 'b', data: 'x' });
  t.match(rejected, { type: 'error', channel: 'b', id: 'm2' });
});

t.test('connect, refresh and unsubscribe repeat the id of their command', async (t) => {
  const world = await start(t);
  const token = world.secret.token({ sub: 'ada', channels: ['a'] });
  const client = await asker(t, world);
  t.match(await client.ask({ id: '1', type: 'connect', token }), { type: 'connected' });
  t.match(await client.ask({ id: '2', type: 'refresh', token }), { type: 'refreshed' });
  const left = await client.ask({ id: '3', type: 'unsubscribe', channel: 'a' });
  t.match(left, { type: 'unsubscribed', channels: ['a'] });
});

t.test(
  'requests without an answer are bounded, and end when the manager does not answer',
  async (t) => {
    const world = await start(t, { workers: 1 });
    const token = world.secret.token({ sub: 'ada', grants: { presence: ['*'], subscribe: ['*'] } });
    const client = await asker(t, world, token);
    // Sent together, they are read before any answer can arrive.
    for (let at = 0; at < 6; at++) client.say({ type: 'presence', channel: 'a', id: `r${at}` });
    await until('all answers', () => client.answers.length === 6);
    const errors = client.answers.filter(({ type }) => type === 'error');
    for (const { error } of errors) {
      t.equal(error, 'too many requests without an answer: at most 4 are allowed');
    }
    t.ok(errors.length <= 2, 'the first four are answered');
    const gone = await asker(t, world, token);
    gone.say({ type: 'presence', channel: 'a', id: 'late' });
    gone.close();
    t.match(await client.ask({ id: 'after', type: 'presence', channel: 'a' }), { complete: true });
    t.equal(subscriptions(world), 0);
  },
);
