// What a WebSocket client asks for in JSON and what it is told: answers name the channels that they
// are about, come in the order of the wishes, and need no id.
import t from 'tap';

import { startComet, type World } from './comet-world.js';
import { until } from './helpers.js';
import { WishClient } from './websocket-peer.js';

/** A client that was told so many things. */
async function told(client: WishClient, count: number): Promise<readonly string[]> {
  await until(`${count} answers`, () => client.told.length >= count);
  return client.told.map((note) => {
    const { cursor, ...rest } = JSON.parse(note) as { cursor?: string };
    return JSON.stringify(rest) + (cursor === undefined ? '' : ' with a cursor');
  });
}

const subscribed = (...channels: string[]): string =>
  `${JSON.stringify({ type: 'subscribed', recovered: true, channels })} with a cursor`;

async function open(world: World, query = ''): Promise<WishClient> {
  const client = new WishClient(world.port, `/ws${query}`);
  t.teardown(() => {
    client.close();
  });
  await client.open();
  return client;
}

void t.test('subscribed names the channels of the request that it answers', async (t) => {
  const world = await startComet(t, { workers: 1 });
  const client = await open(world, '?channel=u&channel=v/*');
  // All at once: the first waits for the manager, and the others behind it.
  client.say('{"type":"subscribe","channels":["a","b/*"]}');
  client.say('{"type":"subscribe","channel":"c"}');
  client.say('{"type":"subscribe","channels":["c","a","c","d"],"id":"mine"}');
  client.say('{"type":"subscribe","channel":"e","channels":["f"]}');
  client.say('{"type":"unsubscribe","channels":["a","nobody","c"]}');
  client.say('{"type":"subscribe","channel":"a"}');
  t.strictSame(await told(client, 7), [
    subscribed('u', 'v/*'),
    subscribed('a', 'b/*'),
    subscribed('c'),
    subscribed('c', 'a', 'd'),
    subscribed('e', 'f'),
    '{"type":"unsubscribed","channels":["a","c"]}',
    subscribed('a'),
  ]);
  const strange = '"\\ \u2028 ,"cursor":"{}[]日本';
  client.say(JSON.stringify({ type: 'subscribe', channel: strange }));
  t.equal((await told(client, 8)).at(-1), subscribed(strange));
  for (const channel of ['a', 'b/1', 'c', 'd', 'e', 'f', 'u', 'v/1', strange]) {
    await world.server.publish(channel, 'x');
  }
  await until('a message of each', () => client.messages.length === 8);
  t.notOk(client.messages.includes('c'), 'but not of the one that was left');
});

void t.test('a subscription that comes back names its channels, also with a gap', async (t) => {
  const world = await startComet(t, { workers: 1, historyCount: 2 });
  const cursors: string[] = [];
  for (const data of ['1', '2', '3', '4']) {
    cursors.push((await world.server.publish('a', data)).cursor);
  }
  const client = await open(world);
  const since = (at: number): string => cursors[at] ?? '';
  client.say(JSON.stringify({ type: 'subscribe', channels: ['a', 'b'], since: since(1) }));
  t.strictSame((await told(client, 1)).at(-1), subscribed('a', 'b'));
  t.strictSame(client.all.slice(0, 2), ['3', '4'], 'behind what was missed');
  const late = await open(world);
  late.say(JSON.stringify({ type: 'subscribe', channels: ['a', 'b'], since: since(0) }));
  await until('what is left', () => late.all.length === 3);
  t.strictSame(
    JSON.parse(late.all[0] ?? ''),
    { type: 'subscribed', cursor: since(1), recovered: false, channels: ['a', 'b'] },
    'a gap is told before what is left, with the place before it',
  );
  t.strictSame(late.all.slice(1), ['3', '4']);
});

void t.test('history in several pages ends with one answer that names all', async (t) => {
  const world = await startComet(t, { workers: 1 });
  const { cursor: since } = await world.server.publish('a', 'before');
  // A page has at most 32 KiB.
  for (let n = 0; n < 20; n++) await world.server.publish(n % 2 ? 'a' : 'b', 'x'.repeat(10_000));
  const client = await open(world);
  client.say(JSON.stringify({ type: 'subscribe', channels: ['b', 'a'], since }));
  client.say('{"type":"subscribe","channel":"c"}');
  t.strictSame(await told(client, 2), [subscribed('b', 'a'), subscribed('c')]);
  t.equal(client.messages.length, 20);
});

/** Requests that are refused, with the word that the error has. */
const REFUSED: readonly (readonly [wish: string, word: RegExp])[] = [
  ['{"type":"subscribe"}', /one is needed/],
  ['{"type":"subscribe","channels":[]}', /one is needed/],
  ['{"type":"subscribe","channels":["a","b","c","d","e"]}', /more than one connection may have/],
  ['{"type":"subscribe","channels":["a",""]}', /not a channel's name/],
  ['{"type":"subscribe","channels":["a",1]}', /channels are texts/],
  ['{"type":"subscribe","channels":{"a":1}}', /channels are texts/],
  ['{"type":"subscribe","channel":null}', /channels are texts/],
  ['{"type":"subscribe","channel":"a","since":"1"}', /not a cursor/],
  ['{"type":"subscribe","channel":"a","since":1}', /must be a text/],
  ['{"type":"subscribe","channel":"a","id":1}', /must be a text/],
  ['{"type":"subscribe","channel":"a","channel":"b"}', /a key stands twice/],
  ['{"type":"subscribe","channel":"a","ch\\u0061nnel":"b"}', /a key stands twice/],
  ['{"type":"__proto__","channel":"a"}', /none that is known/],
  [`{"type":"subscribe","channel":"a","x":${'['.repeat(1000)}`, /.{5}/],
];

void t.test('a wish that is refused changes nothing, and takes no channel', async (t) => {
  const world = await startComet(t, { workers: 1, channelsPerConnection: 4 });
  const client = await open(world);
  for (const [at, [wish, word]] of REFUSED.entries()) {
    client.say(wish);
    t.match((await told(client, at + 1))[at], word, wish.slice(0, 60));
  }
  client.say('{"type":"subscribe","channels":["a","b","c","d"]}');
  t.equal((await told(client, REFUSED.length + 1)).at(-1), subscribed('a', 'b', 'c', 'd'));
  client.say('{"type":"subscribe","channels":["e"]}');
  t.match((await told(client, REFUSED.length + 2)).at(-1), /more than one connection may have/);
  t.equal(world.server.stats().totals['subscriptions'], 4);
});

void t.test('what clients publish cannot break into the lines of others', async (t) => {
  const world = await startComet(t, { workers: 1, clientPublish: true });
  const client = await open(world, '?channel=a');
  await told(client, 1);
  const wish = { type: 'publish', channel: 'a', data: 'x' };
  const long = 'x'.repeat(129);
  for (const bad of ['a\nb', 'a\rb', '\0', long]) {
    client.say(JSON.stringify({ ...wish, id: bad }));
    client.say(JSON.stringify({ ...wish, event: bad }));
  }
  for (const channel of ['a\nb', '', 'a/*', '*', 'x'.repeat(201)]) {
    client.say(JSON.stringify({ ...wish, channel }));
  }
  client.say(JSON.stringify({ ...wish, id: 'i', event: 'e' }));
  await until('the right one', () => client.messages.length > 0);
  t.strictSame(client.messages, ['a'], 'nothing else was published');
  t.equal(world.server.stats().push?.clientRefusedTotal, 8, 'and the refusals are counted');
});
