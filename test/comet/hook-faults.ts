// Hooks without a decision: the client is rejected, the cause is counted, and tokens never wait.
import type { ServerResponse } from 'node:http';
import t from 'tap';

import { Secret } from '../support/client-tokens.js';
import { exchange, startComet, type World } from '../support/comet-world.js';
import { until } from '../support/helpers.js';
import { answer, hang, type Behaviour } from '../support/hook-server.js';
import { startHooked } from '../support/hook-world.js';
import { CommandClient } from '../support/websocket-peer.js';

const metric = (world: World, name: string): number => world.server.stats().hook?.[name] ?? 0;

const poll = (query: string): string =>
  `GET /poll?timeout=0&${query} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`;

async function statusOf(world: World, query: string): Promise<number> {
  return Number((await exchange(world.port, poll(query))).split(' ')[1]);
}

function raw(status: number, text: Buffer | string, head: Record<string, string> = {}): Behaviour {
  return (_asked, response: ServerResponse) => {
    response.writeHead(status, head).end(text);
  };
}

/** Made once: it must not take of the second in which the application has to answer. */
const TEN_MEGABYTES = Buffer.from(' '.repeat(10_000_000) + '{"allow":true}');

const FAULTS: readonly (readonly [string, string, Behaviour])[] = [
  ['an application that hangs', 'failedTimeoutTotal', hang],
  ['an error', 'failedStatusTotal', raw(500, '{"allow":true}')],
  ['a redirect', 'failedStatusTotal', raw(302, '', { Location: '/other' })],
  ['no JSON', 'failedAnswerTotal', raw(200, 'yes')],
  ['10 MB', 'failedAnswerTotal', raw(200, TEN_MEGABYTES)],
  ['an unknown member', 'failedAnswerTotal', answer({ allow: true, admin: true })],
  ['no decision', 'failedAnswerTotal', answer({})],
  ['a number', 'failedAnswerTotal', raw(200, '1')],
  ['a pattern among the channels', 'failedAnswerTotal', answer({ allow: true, channels: ['*'] })],
  [
    'half an answer',
    'failedConnectionTotal',
    (_asked, response) => {
      response.writeHead(200, { 'Content-Length': '100' });
      response.write('{"allow":true');
      setImmediate(() => response.destroy());
    },
  ],
];

t.test('without a valid answer a client is rejected, and the cause is counted', async (t) => {
  const world = await startHooked(t);
  for (const [name, counter, behaviour] of FAULTS) {
    world.hook.behaviour = behaviour;
    const before = metric(world, counter);
    const response = await exchange(world.port, poll('channel=a'));
    t.match(response, /^HTTP\/1\.1 503 .*\r\nRetry-After: \d+\r\n/s, name);
    t.equal(metric(world, counter), before + 1, `${name}: ${counter}`);
  }
  t.equal(metric(world, 'failedTotal'), FAULTS.length);
  world.hook.close();
  t.equal(await statusOf(world, 'channel=a'), 503, 'an application that is down');
  t.equal(metric(world, 'callsInFlight'), 0);
});

t.test('an EventSource receives the time of its retry', async (t) => {
  const world = await startHooked(t);
  world.hook.behaviour = raw(500, '');
  const text = await exchange(world.port, 'GET /events?channel=a HTTP/1.1\r\nHost: a\r\n\r\n');
  t.match(text, /^HTTP\/1\.1 200 .*event: megacomet\.unavailable\n/s);
});

t.test(
  'beyond 128 hook requests a client is rejected at once, and tokens never wait',
  async (t) => {
    const secret = new Secret(t);
    const world = await startHooked(t, { tokenKey: [secret.option] });
    world.hook.behaviour = hang;
    const waiting = Array.from({ length: 130 }, () => statusOf(world, 'channel=a'));
    await until('128 hook requests', () => metric(world, 'busyTotal') >= 2);
    t.equal(metric(world, 'callsTotal'), 128);
    const token = secret.token({ sub: 'ada', grants: { subscribe: ['a'] } });
    t.equal(await statusOf(world, `channel=a&token=${token}`), 204);
    t.equal(await statusOf(world, `channel=b&token=${token}`), 403, 'not asked either');
    t.equal(await statusOf(world, `channel=a&token=${token}x`), 401, 'nor for a bad signature');
    t.equal(Number(world.server.stats().totals['hookRequestsTotal']), 130);
    t.same(new Set(await Promise.all(waiting)), new Set([503]));
    t.equal(metric(world, 'callsInFlight'), 0);
  },
);

t.test('an answer counts for its time, until the user is revoked', async (t) => {
  const world = await startHooked(t);
  const { hook } = world;
  hook.behaviour = answer({ allow: true, user: 'ada', channels: ['a'], cacheSeconds: 60 });
  for (let round = 0; round < 3; round++) {
    t.equal(await statusOf(world, 'channel=a&token=s1'), 204);
  }
  t.equal(hook.asked.length, 1);
  t.equal(metric(world, 'cacheHitsTotal'), 2);
  t.equal(await statusOf(world, 'channel=a&token=s2'), 204, 'another session');
  t.equal(hook.asked.length, 2);
  await world.server.revoke({ user: 'ada' });
  hook.behaviour = answer({ allow: true, channels: ['a'], cacheSeconds: 1 });
  t.equal(await statusOf(world, 'channel=a&token=s1'), 204);
  t.equal(hook.asked.length, 3, 'asked again');
  await until('the end of the answer', async () => {
    t.equal(await statusOf(world, 'channel=a&token=s1'), 204);
    return hook.asked.length === 4;
  });
});

t.test('commands of a WebSocket wait for the decision, in order', async (t) => {
  const world = await startHooked(t, { clientPublish: true });
  const { hook } = world;
  hook.behaviour = (asked, response) => {
    const allow = asked.channels[0] !== 'denied';
    const user = asked.action === 'connect' ? { user: 'ada' } : {};
    answer({ allow, ...user, ...(allow ? {} : { reason: 'not yours' }) })(asked, response);
  };
  const published: string[] = [];
  world.server.on('message', ({ data }) => published.push(data.toString()));
  const client = new CommandClient(world.port, '/ws');
  await client.open();
  client.say('{"type":"connect","token":"session"}');
  client.say('{"type":"subscribe","channel":"a"}');
  client.say('{"type":"subscribe","channel":"denied"}');
  client.say('{"type":"publish","channel":"a","data":"1"}');
  await until('all answers', () => published.length === 1 && client.told.length >= 3);
  t.match(client.told[0], /"type":"connected","user":"ada"/);
  t.match(client.told[1], /"type":"subscribed"/);
  t.match(client.told[2], /"error":"not yours"/);
  const asked = hook.asked.map(({ action, user, token }) => `${action} ${user} ${token}`);
  t.same(asked, ['connect  session', 'subscribe ada ', 'subscribe ada ', 'publish ada ']);
});

t.test('the function authorize decides; an exception of it rejects the client', async (t) => {
  let run: () => unknown = () => ({ allow: true, channels: ['a'] });
  const authorize = (): never => run() as never;
  const world = await startComet(t, { workers: 1, authorize });
  t.equal(await statusOf(world, 'channel=a'), 204);
  run = () => {
    throw new Error('broken');
  };
  t.equal(await statusOf(world, 'channel=a'), 503);
  run = () => Promise.reject(new Error('broken'));
  t.equal(await statusOf(world, 'channel=a'), 503);
  t.equal(metric(world, 'failedErrorTotal'), 2);
  run = () => new Promise(() => undefined);
  t.equal(await statusOf(world, 'channel=a'), 503);
  t.equal(metric(world, 'failedTimeoutTotal'), 1);
});

t.test('a drain, and a client that leaves, end the wait', async (t) => {
  const world = await startHooked(t);
  world.hook.behaviour = hang;
  const left = exchange(world.port, poll('channel=a'), () => true);
  const drained = exchange(world.port, poll('channel=b'));
  await until('both hook requests', () => world.hook.asked.length === 2);
  await world.server.close();
  t.match(await drained, /^HTTP\/1\.1 503 .*shutting down/s);
  await left;
});
