// What a WebSocket client asks for in JSON and what it is told: answers name the channels that they
// are about, come in the order of the wishes, and need no id.
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';

import { Program, startComet, type World } from '../support/comet-world.js';
import { until } from '../support/helpers.js';
import { CommandClient } from '../support/websocket-peer.js';

/** A client that was told so many things. */
async function told(client: CommandClient, count: number): Promise<readonly string[]> {
  await until(`${count} answers`, () => client.told.length >= count);
  return client.told.map((note) => {
    const { cursor, ...rest } = JSON.parse(note) as { cursor?: string };
    return JSON.stringify(rest) + (cursor === undefined ? '' : ' with a cursor');
  });
}

const subscribed = (...channels: string[]): string =>
  `${JSON.stringify({ type: 'subscribed', recovered: true, channels })} with a cursor`;

async function open(world: World, query = ''): Promise<CommandClient> {
  const client = new CommandClient(world.port, `/ws${query}`);
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
  ['{"type":"subscribe"}', /channel is required/],
  ['{"type":"subscribe","channels":[]}', /channel is required/],
  ['{"type":"subscribe","channels":["a","b","c","d","e"]}', /too many for one connection/],
  ['{"type":"subscribe","channels":["a",""]}', /not a valid channel name/],
  ['{"type":"subscribe","channels":["a",1]}', /channels must be strings/],
  ['{"type":"subscribe","channels":{"a":1}}', /channels must be strings/],
  ['{"type":"subscribe","channel":null}', /channels must be strings/],
  ['{"type":"subscribe","channel":"a","since":"1"}', /not a cursor/],
  ['{"type":"subscribe","channel":"a","since":1}', /"since" must be a string/],
  ['{"type":"subscribe","channel":"a","id":1}', /"id" must be a string/],
  ['{"type":"subscribe","channel":"a","channel":"b"}', /duplicate key/],
  ['{"type":"subscribe","channel":"a","ch\\u0061nnel":"b"}', /duplicate key/],
  ['{"type":"__proto__","channel":"a"}', /unknown type/],
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
  t.match((await told(client, REFUSED.length + 2)).at(-1), /too many for one connection/);
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
  t.equal(world.server.stats().messages?.clientMessagesRejectedTotal, 6, 'and the refusals are counted');
  // One answer to each, those of the manager behind those of the worker.
  await told(client, 1 + 8 + 5);
});

interface ToldError {
  readonly type: string;
  readonly error: string;
  readonly channel?: string;
  readonly id?: string;
}

void t.test('a publish that is refused says which one it was', async (t) => {
  const world = await startComet(t, { workers: 1, clientPublish: true, messageBytes: 200_000 });
  const client = await open(world);
  const long = 'x'.repeat(129);
  for (const [more, word, wanted] of [
    // By the manager.
    [{ channel: 'a', id: 'a\nb' }, /without CR, LF and NUL/, { channel: 'a', id: 'a\nb' }],
    [{ channel: 'b', event: '\0' }, /without CR, LF and NUL/, { channel: 'b' }],
    [{ channel: 'c', id: '"7"', event: '\r' }, /CR, LF/, { channel: 'c', id: '"7"' }],
    [{ channel: '日本', id: '1', event: '\r' }, /CR, LF/, { channel: '日本', id: '1' }],
    // By the worker. What can be no name is not sent back.
    [{ channel: 'a', id: long }, /at most 128 bytes/, { channel: 'a' }],
    [{ channel: 'a', id: 'x'.repeat(100_000) }, /at most 128 bytes/, { channel: 'a' }],
    [{ channel: 'a', event: long, id: '2' }, /at most 128 bytes/, { channel: 'a', id: '2' }],
    [{ channel: 'a/*', id: '3' }, /must be one exact name/, { channel: 'a/*', id: '3' }],
    [{ channel: 'x'.repeat(201), id: '4' }, /must be one exact name/, { id: '4' }],
    [{ channels: ['a', 'b'], id: '5' }, /must be one exact name/, { id: '5' }],
    [{}, /must be one exact name/, {}],
  ] as const) {
    const before = client.told.length;
    client.say(JSON.stringify({ type: 'publish', data: 'x', ...more }));
    await until('the answer', () => client.told.length > before);
    const { type, error, ...rest } = JSON.parse(client.told.at(-1) ?? '') as ToldError;
    t.equal(type, 'error');
    t.match(error, word);
    t.strictSame(rest, wanted);
  }
  t.equal(world.server.stats().messages?.clientMessagesRejectedTotal, 4);
  t.equal(world.server.stats().messages?.messagesPublishedTotal, 0);
  const shut = await open(await startComet(t, { workers: 1 }));
  shut.say('{"type":"publish","channel":"a","id":"9","data":"x"}');
  t.strictSame(await told(shut, 1), [
    '{"type":"error","error":"clients may not publish here","channel":"a","id":"9"}',
  ]);
});

void t.test(
  'a publish for which a worker is too busy is refused, and may be tried again',
  async (t) => {
    const world = await startComet(t, { workers: 2, clientPublish: true });
    const { server } = world;
    const reader = await open(world, '?channel=a');
    await told(reader, 1);
    const holder = server.stats().workers.find((worker) => worker['subscriptions'] === 1);
    let client: CommandClient | undefined;
    // The kernel chooses the worker.
    while (client === undefined || holder?.['connections'] === undefined) {
      const before = server.stats().workers.find(({ pid }) => pid === holder?.pid)?.['connections'];
      const next = await open(world);
      const after = server.stats().workers.find(({ pid }) => pid === holder?.pid)?.['connections'];
      if (before === after) client = next;
    }
    const pid = holder.pid ?? 0;
    process.kill(pid, 'SIGSTOP');
    const data = 'x'.repeat(60_000);
    const publish = (): Promise<boolean> =>
      server.publish('a', data).then(
        () => true,
        () => false,
      );
    let published = 0;
    while (published < 300 && (await publish())) published++;
    t.ok(published < 300, 'the server is busy');
    client.say('{"type":"publish","channel":"a","id":"9","data":"x"}');
    client.say('{"type":"publish","channel":"b","id":"10","data":"x"}');
    const answers = await told(client, 1);
    process.kill(pid, 'SIGCONT');
    t.strictSame(answers, [
      '{"type":"error","error":"server busy; retry later","channel":"a","id":"9"}',
    ]);
    await until('the worker to follow', async () => {
      client.say('{"type":"publish","channel":"a","id":"11","data":"end"}');
      await sleep(50);
      return reader.all.includes('end');
    });
  },
);

void t.test('a refusal that comes late is told to nobody else', async (t) => {
  const program = await Program.start(t, { args: ['--workers', '1', '--client-publish'] });
  const connect = async (): Promise<CommandClient> => {
    const client = new CommandClient(program.port, '/ws');
    t.teardown(() => {
      client.close();
    });
    await client.open();
    return client;
  };
  const first = await connect();
  const manager = program.server.pid;
  process.kill(manager, 'SIGSTOP');
  first.say('{"type":"publish","channel":"a","id":"a\\nb","data":"x"}');
  first.say('{"type":"ping"}');
  await told(first, 1);
  first.close();
  await sleep(200);
  // It gets the same descriptor.
  const second = await connect();
  process.kill(manager, 'SIGCONT');
  await until('the refusal', async () => {
    return (await program.server.stats()).messages?.clientMessagesRejectedTotal === 1;
  });
  await sleep(200);
  second.say('{"type":"ping"}');
  t.strictSame(await told(second, 1), ['{"type":"pong"}']);
  await program.server.stop();
});
