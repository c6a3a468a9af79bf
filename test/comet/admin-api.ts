// Requests of a service to a running server over HTTP, and the same through the library: presence,
// history, broadcast, channels of a user, disconnecting, and info. Each error has a code.
import t, { type Test } from 'tap';

import { ENDPOINTS } from '../../lib/api/endpoints.js';
import { ERROR_STATUS } from '../../lib/api/error-codes.js';
import { Secret } from '../support/client-tokens.js';
import {
  SseClient,
  startComet,
  StreamClient,
  WebSocketClient,
  type Client,
  type Endpoint,
  type World,
} from '../support/comet-world.js';
import { until } from '../support/helpers.js';

const TOKEN = 'of-the-service-alone';

interface Reply {
  readonly status: number;
  readonly json: Record<string, unknown>;
}

type Join = <Kind extends Client>(
  kind: new (endpoint: Endpoint, channels: readonly string[]) => Kind,
  user: string,
  channels: string[],
) => Promise<Kind>;

interface Site extends World {
  readonly secret: Secret;
  get(path: string): Promise<Reply>;
  post(path: string, body: unknown): Promise<Reply>;
  /** An open client of a user. */
  join: Join;
}

async function start(t: Test, options: object = {}): Promise<Site> {
  const secret = new Secret(t);
  const world = await startComet(t, {
    ...{ workers: 2, tokenKey: [secret.option], adminPort: 0, adminToken: TOKEN },
    ...options,
  });
  const ask = async (path: string, init: RequestInit): Promise<Reply> => {
    const headers = { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' };
    const url = `http://127.0.0.1:${world.server.adminPort}${path}`;
    const response = await fetch(url, { headers, ...init });
    return { status: response.status, json: (await response.json()) as Reply['json'] };
  };
  return {
    ...world,
    secret,
    get: (path) => ask(path, {}),
    post: (path, body) => ask(path, { method: 'POST', body: JSON.stringify(body) }),
    join: async (Kind, user, channels) => {
      const client = new Kind(world, channels);
      const grants = { subscribe: channels.length === 0 ? ['x'] : channels };
      client.token = secret.token({ sub: user, info: { of: user }, grants });
      t.teardown(() => {
        client.close();
      });
      const opened = client.open();
      // A WebSocket without channels has no answer.
      if (client instanceof WebSocketClient && channels.length === 0) {
        await until('the handshake', () => client.socket?.readyState === 1);
        client.isOpen = true;
      }
      await opened;
      return client;
    },
  };
}

function subscriptions({ server }: World): number {
  return server.stats().workers.reduce((sum, worker) => sum + Number(worker.subscriptions), 0);
}

t.test('presence is the same over HTTP and in the library', async (t) => {
  const site = await start(t);
  await site.join(WebSocketClient, 'ada', ['a']);
  await site.join(SseClient, 'ada', ['a']);
  await site.join(StreamClient, 'ada', ['a']);
  await site.join(StreamClient, 'bob', ['a']);
  await until('all', async () => (await site.server.presence('a')).subscribers === 4);
  const { status, json } = await site.get('/presence?channel=a');
  t.equal(status, 200);
  const { members, ...rest } = json as { members: { user: string; names: string[] }[] };
  t.same(rest, { channel: 'a', subscribers: 4, users: 2, complete: true });
  const sorted = members.sort((one, other) => (one.user < other.user ? -1 : 1));
  t.match(sorted, [
    { user: 'ada', info: { of: 'ada' }, connections: 3 },
    { user: 'bob', info: { of: 'bob' }, connections: 1 },
  ]);
  t.match(await site.get('/presence?channel=a&limit=2'), { json: { complete: false } });
  const name = sorted[1]?.names[0] ?? '';
  const ended = await site.post('/disconnect', { member: name, reason: 'enough' });
  t.same(ended, { status: 200, json: { member: name, connections: 1 } });
  await until('the count', async () => (await site.server.presence('a')).subscribers === 3);
  t.equal((await site.server.presence('a')).users, 1);
  t.same((await site.post('/disconnect', { channel: 'a' })).json, { subscribers: 3 });
  await until('all to be gone', () => subscriptions(site) === 0);
});

t.test('history is read in pages, to its end', async (t) => {
  const site = await start(t);
  for (let at = 0; at < 5; at++) await site.server.publish('a b', `m${at}`);
  const seen: string[] = [];
  let since = '';
  for (let isComplete = false; !isComplete;) {
    const { json } = await site.get(`/history?channel=a+b&limit=2${since}`);
    const page = json as { messages: { data: string }[]; cursor: string; complete: boolean };
    seen.push(...page.messages.map(({ data }) => data));
    since = `&since=${page.cursor}`;
    isComplete = page.complete;
  }
  t.same(seen, ['m0', 'm1', 'm2', 'm3', 'm4']);
});

t.test('a broadcast has a cursor for each channel, and publishes to all or to none', async (t) => {
  const site = await start(t);
  const client = await site.join(StreamClient, 'ada', ['a', 'b']);
  const { status, json } = await site.post('/broadcast', { channels: ['a', 'b', 'a'], data: 'x' });
  const { results } = json as { results: { channel: string; cursor: string }[] };
  t.equal(status, 200);
  await client.has(2);
  t.same(
    results.map(({ channel, cursor }) => [channel, cursor]),
    client.seen.map(({ channel, cursor }) => [channel, cursor]),
    'a repeated channel gets the message once',
  );
  const wrong = await site.post('/broadcast', { channels: ['a', 'b*'], data: 'y' });
  t.match(wrong, { status: 400, json: { code: 'ERR_CHANNEL' } });
  const many = Array.from({ length: 1001 }, (_, at) => `c${at}`);
  const tooMany = await site.post('/broadcast', { channels: many, data: 'y' });
  t.match(tooMany, { status: 400, json: { code: 'ERR_OPTION_INVALID' } });
  const most = await site.post('/broadcast', { channels: many.slice(1), data: 'y' });
  t.equal((most.json['results'] as unknown[]).length, 1000);
  const heavy = await site.post('/broadcast', {
    channels: many.slice(1),
    data: 'y'.repeat(20_000),
  });
  t.match(heavy, { status: 413, json: { code: 'ERR_MESSAGE_SIZE' } });
  t.same(client.data, ['x', 'x']);
  t.match(await site.server.broadcast(['c1'], Buffer.from([0])), [{ channel: 'c1' }]);
});

t.test('a user is subscribed and unsubscribed on every WebSocket, in all workers', async (t) => {
  const site = await start(t, { workers: 2 });
  const sockets: WebSocketClient[] = [];
  for (let at = 0; at < 8; at++) {
    sockets.push(await site.join(WebSocketClient, 'ada', at % 2 === 0 ? [] : ['x']));
  }
  const notes: { type: string; channels?: string[] }[][] = sockets.map(({ socket }, at) => {
    socket?.on('message', (data: Buffer) => notes[at]?.push(JSON.parse(data.toString()) as never));
    return [];
  });
  const bob = await site.join(WebSocketClient, 'bob', ['x']);
  const streams = [
    await site.join(SseClient, 'ada', ['x']),
    await site.join(StreamClient, 'ada', ['room/1', 'x']),
  ];
  const order = { user: 'ada', channels: ['room/1', 'rooms/*'] };
  t.same(await site.post('/subscribe', order), { status: 200, json: order });
  const heard = (type: string): boolean =>
    notes.every((each) => each.some((note) => note.type === type));
  await until('the answers', () => heard('subscribed'));
  t.match(notes[0], [{ type: 'subscribed', recovered: true, channels: ['room/1', 'rooms/*'] }]);
  await site.server.publish('room/1', 'one');
  await site.server.publish('rooms/2', 'two');
  await until('both messages', () => sockets.every(({ data }) => data.length === 2));
  t.same(bob.data, [], 'another user has not the channels');
  await site.server.unsubscribe('ada', 'room/1');
  await until('the answers', () => heard('unsubscribed'));
  t.same(notes[0]?.at(-1), { type: 'unsubscribed', channels: ['room/1'] });
  await until('the stream that has it to end', () => streams[1]?.isOpen === false);
  t.equal(streams[0]?.isOpen, true, 'one that has it not stays');
  await site.server.publish('room/1', 'three');
  await site.server.publish('rooms/2', 'four');
  await until('the last message', () => sockets.every(({ data }) => data.at(-1) === 'four'));
  t.same(sockets[0]?.data, ['one', 'two', 'four']);
});

t.test('two users whose names differ only in their Unicode form are two', async (t) => {
  const site = await start(t);
  await site.join(StreamClient, 'caf\u00e9', ['a']);
  const other = await site.join(StreamClient, 'cafe\u0301', ['a']);
  await until('both', async () => (await site.server.presence('a')).users === 2);
  t.same((await site.post('/disconnect', { user: 'caf\u00e9' })).json, { user: 'caf\u00e9' });
  await until('one to be gone', async () => (await site.server.presence('a')).users === 1);
  t.equal(other.isOpen, true);
});

t.test('info and channels', async (t) => {
  const site = await start(t, { clientPublish: true });
  await site.join(StreamClient, 'ada', ['team-1/chat', 'news/a/b']);
  await until('the channels', async () => (await site.server.channels()).channels.length === 2);
  const { json } = await site.get('/info');
  t.match(json, {
    ...{ version: /^\d/, protocol: 'comet', workers: 2, workersServing: 2, isDraining: false },
    ...{ connections: 1, subscriptions: 2, channels: 2 },
    features: { tokens: true, clientPublish: true, ingest: false, public: false },
  });
  const { features } = json as { features: Record<string, boolean> };
  t.match(features, { jwks: false, signedUrls: false, hook: false, mailboxAuth: false });
  t.equal(features['proxyProtocol'], false);
  t.match(site.server.info(), { version: json['version'], connections: 1 });
  const names = async (pattern: string): Promise<string[]> => {
    const page = await site.get(`/channels?pattern=${encodeURIComponent(pattern)}`);
    return (page.json['channels'] as { channel: string }[]).map(({ channel }) => channel).sort();
  };
  t.same(await names('team-*/chat'), ['team-1/chat']);
  t.same(await names('news/*'), ['news/a/b']);
  t.same(await names('*'), ['news/a/b', 'team-1/chat']);
  t.same(await names('*/chat/*'), []);
  t.same(await names('news/*/c'), []);
});

t.test('info names the features of access', async (t) => {
  const { server } = await startComet(t, {
    ...{ workers: 1, signKey: [new Secret(t).path], mailboxes: true, mailboxAuth: 'signed' },
    ...{ tokenJwksUrl: 'http://127.0.0.1:1/keys', authorize: () => ({ allow: false }) },
    ...{ proxyProtocol: true, trustedProxies: ['127.0.0.1'] },
  });
  t.match(server.info().features, {
    ...{ tokens: true, jwks: true, signedUrls: true, hook: true, mailboxAuth: true },
    proxyProtocol: true,
  });
});

t.test('responses are counted for each endpoint and class of status', async (t) => {
  const site = await start(t);
  for (const path of Object.keys(ENDPOINTS)) {
    // Metrics are not JSON.
    await site.get(path).catch(() => undefined);
    await site.post(path, {});
  }
  for (const path of ['/nothing', '/other', '/publish/x', '/__proto__', '/toString']) {
    await site.get(path);
  }
  const expected = Object.fromEntries(
    Object.entries(ENDPOINTS).map(([path, { method }]) => {
      const needsQuery = path === '/presence' || path === '/history';
      const isServed = method === 'GET' && !needsQuery;
      return [path, { '2xx': isServed ? 1 : 0, '4xx': isServed ? 1 : 2, '5xx': 0 }];
    }),
  );
  const all = { ...expected, other: { '2xx': 0, '4xx': 5, '5xx': 0 } };
  await until('the counts', () => site.server.stats().adminResponses?.['other']?.['4xx'] === 5);
  t.same(site.server.stats().adminResponses, all);
  const url = `http://127.0.0.1:${site.server.adminPort}/metrics`;
  const headers = { authorization: `Bearer ${TOKEN}` };
  const text = await (await fetch(url, { headers })).text();
  t.match(text, /^megacomet_admin_responses_total\{endpoint="\/revoke",status="4xx"\} 2$/m);
  t.equal(text.split('megacomet_admin_responses_total{').length - 1, 3 * Object.keys(all).length);
});

t.test('every error of every endpoint has a code of the table', async (t) => {
  const site = await start(t);
  const open = await startComet(t, { workers: 1, adminPort: 0, adminToken: TOKEN });
  const rows: [string, unknown, string][] = [
    ['/presence', null, 'ERR_REQUEST'],
    ['/presence?channel=', null, 'ERR_CHANNEL'],
    ['/presence?channel=a&channel=b', null, 'ERR_REQUEST'],
    ['/presence?channel=a&limit=x', null, 'ERR_REQUEST'],
    ['/history?channel=a&since=x', null, 'ERR_OPTION_INVALID'],
    ['/history?channel=a&limit=0', null, 'ERR_REQUEST'],
    ['/history?channel=a&limit=1001', null, 'ERR_REQUEST'],
    ['/history?chanel=a', null, 'ERR_REQUEST'],
    ['/nothing', null, 'ERR_NOT_FOUND'],
    ['/publish', null, 'ERR_METHOD'],
    ['/info', {}, 'ERR_METHOD'],
    ['/broadcast', {}, 'ERR_REQUEST'],
    ['/broadcast', { channels: [], data: 'x' }, 'ERR_OPTION_INVALID'],
    ['/broadcast', { channels: 'a', data: 'x' }, 'ERR_REQUEST'],
    ['/broadcast', { channels: ['a'], channel: 'a', data: 'x' }, 'ERR_REQUEST'],
    ['/broadcast', { channels: ['a', 5], data: 'x' }, 'ERR_REQUEST'],
    ['/broadcast', { channels: ['a'] }, 'ERR_REQUEST'],
    ['/broadcast', { channels: ['a'], data: 'x', event: 'error' }, 'ERR_MESSAGE'],
    ['/subscribe', { user: 'ada' }, 'ERR_REQUEST'],
    ['/subscribe', { channel: 'a' }, 'ERR_REQUEST'],
    ['/subscribe', { user: '', channel: 'a' }, 'ERR_OPTION_INVALID'],
    ['/subscribe', { user: 'ada', channel: 'a*' }, 'ERR_CHANNEL'],
    ['/unsubscribe', { user: 'ada', channels: [] }, 'ERR_OPTION_INVALID'],
    ['/unsubscribe', { user: 'x'.repeat(201), channel: 'a' }, 'ERR_OPTION_INVALID'],
    ['/disconnect', {}, 'ERR_REQUEST'],
    ['/disconnect', { user: 'ada', channel: 'a' }, 'ERR_REQUEST'],
    ['/disconnect', { all: false }, 'ERR_REQUEST'],
    ['/disconnect', { user: 'ada', reason: 'x'.repeat(124) }, 'ERR_MESSAGE'],
    ['/kick', { channel: 5 }, 'ERR_REQUEST'],
    ['/revoke', {}, 'ERR_OPTION_INVALID'],
    ['/publish', { channel: 'a', data: 'x'.repeat(70_000) }, 'ERR_MESSAGE_SIZE'],
    ['/publish', { channel: 'a', data: 'x', base64: '' }, 'ERR_REQUEST'],
  ];
  for (const [path, body, code] of rows) {
    const { status, json } = await (body === null ? site.get(path) : site.post(path, body));
    t.equal(json['code'], code, `${path} ${JSON.stringify(body).slice(0, 60)}`);
    t.equal(status, ERROR_STATUS[code as keyof typeof ERROR_STATUS]);
    t.type(json['error'], 'string');
  }
  const url = `http://127.0.0.1:${open.server.adminPort}`;
  for (const [path, { method, role }] of Object.entries(ENDPOINTS)) {
    if (role === null || role === 'metrics') continue;
    const response = await fetch(`${url}${path}`, { method });
    t.match(await response.json(), { code: 'ERR_UNAUTHORIZED' }, `${path} without a token`);
  }
  await t.rejects(open.server.subscribe('ada', ['a']), {
    code: 'ERR_OPTION_INVALID',
    message: /the server reads no tokens or certificates and has no hook/,
  });
});
