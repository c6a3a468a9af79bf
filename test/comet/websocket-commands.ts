// JSON commands of a WebSocket client and their answers: an answer names its channels, answers
// arrive in the order of the commands, and no id is needed.
import { readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';

import { Program, startComet, type World } from '../support/comet-world.js';
import { until } from '../support/helpers.js';
import { CommandClient } from '../support/websocket-peer.js';

/** Waits for `count` answers; returns them without cursors. */
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

t.test('subscribed names the channels of its command', async (t) => {
  const world = await startComet(t, { workers: 1 });
  const client = await open(world, '?channel=u&channel=v/*');
  // All at once: the first waits for the manager, and the others wait behind it.
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
  t.notOk(client.messages.includes('c'), 'but not of the unsubscribed channel');
});

t.test('a resumed subscription names its channels, also after a gap', async (t) => {
  const world = await startComet(t, { workers: 1, historyCount: 2 });
  const cursors: string[] = [];
  for (const data of ['1', '2', '3', '4']) {
    cursors.push((await world.server.publish('a', data)).cursor);
  }
  const client = await open(world);
  const since = (at: number): string => cursors[at] ?? '';
  client.say(JSON.stringify({ type: 'subscribe', channels: ['a', 'b'], since: since(1) }));
  t.strictSame((await told(client, 1)).at(-1), subscribed('a', 'b'));
  t.strictSame(client.all.slice(0, 2), ['3', '4'], 'after the missed messages');
  const late = await open(world);
  late.say(JSON.stringify({ type: 'subscribe', channels: ['a', 'b'], since: since(0) }));
  await until('the kept messages', () => late.all.length === 3);
  t.strictSame(
    JSON.parse(late.all[0] ?? ''),
    { type: 'subscribed', cursor: since(1), recovered: false, channels: ['a', 'b'] },
    'a gap notice precedes the kept messages, with the cursor before them',
  );
  t.strictSame(late.all.slice(1), ['3', '4']);
});

t.test('a replay in several pages ends with one answer that names all channels', async (t) => {
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

/** Rejected commands, and a pattern of the error. */
const REJECTED: readonly (readonly [command: string, error: RegExp])[] = [
  ['{"type":"subscribe"}', /channel is required/],
  ['{"type":"subscribe","channels":[]}', /channel is required/],
  ['{"type":"subscribe","channels":["a","b","c","d","e"]}', /too many for one connection/],
  ['{"type":"subscribe","channels":["a",""]}', /not a valid channel name/],
  ['{"type":"subscribe","channels":["a",1]}', /channel: must be a string or a list of strings/],
  ['{"type":"subscribe","channels":{"a":1}}', /channel: must be a string or a list of strings/],
  ['{"type":"subscribe","channel":null}', /channel is required/],
  ['{"type":"subscribe","channel":"a","since":"1"}', /not a cursor/],
  ['{"type":"subscribe","channel":"a","since":1}', /"since: must be a string","channel":"a"}$/],
  ['{"type":"subscribe","channel":"a","last_event_id":"1"}', /since: not a cursor/],
  ['{"type":"subscribe","channel":"a","since":"1","lastEventId":"2"}', /since: has two values/],
  ['{"type":"subscribe","channel":"a*","id":"w1"}', /not a valid channel name","id":"w1"}$/],
  ['{"type":5,"channel":"a","id":"w1"}', /"type: must be a string","channel":"a","id":"w1"}$/],
  ['{"type":"publish","channel":"a","data":"x","id":"w2"}', /here","channel":"a","id":"w2"}$/],
  ['{"type":"subscribe","channel":"a","channel":"b"}', /duplicate key/],
  ['{"type":"subscribe","channel":"a","ch\\u0061nnel":"b"}', /duplicate key/],
  ['{"type":"__proto__","channel":"a"}', /unknown type/],
  [`{"type":"subscribe","channel":"a","x":${'['.repeat(1000)}`, /.{5}/],
];

t.test('a rejected command changes nothing and uses no channel', async (t) => {
  const world = await startComet(t, { workers: 1, channelsPerConnection: 4 });
  const client = await open(world);
  for (const [at, [command, error]] of REJECTED.entries()) {
    client.say(command);
    t.match((await told(client, at + 1))[at], error, command.slice(0, 60));
  }
  client.say('{"type":"subscribe","channels":["a","b","c","d"]}');
  t.equal((await told(client, REJECTED.length + 1)).at(-1), subscribed('a', 'b', 'c', 'd'));
  client.say('{"type":"subscribe","channels":["e"]}');
  t.match((await told(client, REJECTED.length + 2)).at(-1), /too many for one connection/);
  t.equal(world.server.stats().totals['subscriptions'], 4);
});

t.test('a published field cannot inject lines into the output of others', async (t) => {
  const world = await startComet(t, { workers: 1, clientPublish: true });
  const client = await open(world, '?channel=a');
  await told(client, 1);
  const command = { type: 'publish', channel: 'a', data: 'x' };
  const long = 'x'.repeat(129);
  for (const bad of ['a\nb', 'a\rb', '\0', long]) {
    client.say(JSON.stringify({ ...command, id: bad }));
    client.say(JSON.stringify({ ...command, event: bad }));
  }
  for (const channel of ['a\nb', '', 'a/*', '*', 'x'.repeat(201)]) {
    client.say(JSON.stringify({ ...command, channel }));
  }
  client.say(JSON.stringify({ ...command, id: 'i', event: 'e' }));
  await until('the valid message', () => client.messages.length > 0);
  t.strictSame(client.messages, ['a'], 'nothing else was published');
  t.equal(
    world.server.stats().messages?.clientMessagesRejectedTotal,
    6,
    'and the rejections are counted',
  );
  // One answer to each; the manager's answers follow those of the worker.
  await told(client, 1 + 8 + 5);
});

interface ToldError {
  readonly type: string;
  readonly error: string;
  readonly channel?: string;
  readonly id?: string;
}

t.test('the error of a rejected publish identifies the command', async (t) => {
  const world = await startComet(t, { workers: 1, clientPublish: true, messageBytes: 200_000 });
  const client = await open(world);
  const long = 'x'.repeat(129);
  for (const [more, word, wanted] of [
    // By the manager.
    [{ channel: 'a', id: 'a\nb' }, /without control char/, { channel: 'a', id: 'a\nb' }],
    [{ channel: 'b', event: '\0' }, /without control char/, { channel: 'b' }],
    [{ channel: 'c', id: '"7"', event: '\r' }, /control/, { channel: 'c', id: '"7"' }],
    [{ channel: '日本', id: '1', event: 'open' }, /reserved/, { channel: '日本', id: '1' }],
    // By the worker. An invalid name is not echoed.
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

t.test('a publish is rejected while a worker is too busy, and may be retried', async (t) => {
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
  const answers = await told(client, 2);
  process.kill(pid, 'SIGCONT');
  t.strictSame(answers, [
    '{"type":"error","error":"server busy; retry later","channel":"a","id":"9"}',
    '{"type":"published","id":"10","channel":"b"} with a cursor',
  ]);
  await until('the worker to follow', async () => {
    client.say('{"type":"publish","channel":"a","id":"11","data":"end"}');
    await sleep(50);
    return reader.all.includes('end');
  });
});

t.test('a late rejection is sent to no other client', async (t) => {
  const program = await Program.start(t, { args: ['--workers', '1', '--client-publish'] });
  const connect = async (): Promise<CommandClient> => {
    const client = new CommandClient(program.port, '/ws');
    t.teardown(() => {
      client.close();
    });
    await client.open();
    return client;
  };
  const descriptors = `/proc/${await program.server.pidOf(0)}/fd`;
  const first = await connect();
  const open = readdirSync(descriptors).length;
  const manager = program.server.pid;
  process.kill(manager, 'SIGSTOP');
  first.say('{"type":"publish","channel":"a","id":"a\\nb","data":"x"}');
  first.say('{"type":"ping"}');
  await told(first, 1);
  first.close();
  await until('the worker to close it', () => readdirSync(descriptors).length < open);
  // The new connection gets the same descriptor.
  const second = await connect();
  process.kill(manager, 'SIGCONT');
  await until('the rejection', async () => {
    return (await program.server.stats()).messages?.clientMessagesRejectedTotal === 1;
  });
  // The message follows the rejection in the control stream.
  second.say('{"type":"subscribe","channel":"fence"}');
  await told(second, 1);
  await program.publish('fence', 'x');
  await until('the message', () => second.messages.length === 1);
  t.strictSame(await told(second, 1), [subscribed('fence')]);
  await program.server.stop();
});

/** Commands that are valid, and the answer. */
const ACCEPTED: readonly (readonly [command: string, answer: string])[] = [
  ['{"type":"ping","id":1}', '{"type":"pong"}'],
  ['{"type":"ping","channel":5,"data":{}}', '{"type":"pong"}'],
  ['{"type":"subscribe","channel":"a","id":1}', subscribed('a')],
  ['{"type":"subscribe","channel":"a","since":null}', subscribed('a')],
  ['{"type":"subscribe","channel":"a","channels":null,"data":5}', subscribed('a')],
  ['{"type":"subscribe","channels":["a","a","b"],"channel":"a"}', subscribed('a', 'b')],
  // Twice the limit, but every name is already known.
  ['{"type":"subscribe","channels":["c","d"]}', subscribed('c', 'd')],
  ['{"type":"subscribe","channels":["d","c","b","a","d"]}', subscribed('d', 'c', 'b', 'a')],
  [
    '{"type":"unsubscribe","channels":["a","a"],"since":7}',
    '{"type":"unsubscribed","channels":["a"]}',
  ],
];

t.test('null is absent, a repeated channel counts once, unused members mean nothing', async (t) => {
  const world = await startComet(t, { workers: 1, channelsPerConnection: 4 });
  const client = await open(world);
  for (const [at, [command, answer]] of ACCEPTED.entries()) {
    client.say(command);
    t.equal((await told(client, at + 1))[at], answer, command);
  }
});

t.test('the cursor of a subscribe command may have any of its names', async (t) => {
  const world = await startComet(t, { workers: 1 });
  const { cursor } = await world.server.publish('a', 'first');
  await world.server.publish('a', 'second');
  for (const name of ['since', 'cursor', 'lastEventId', 'lastEventID', 'Last-Event-ID', 'Since']) {
    const client = await open(world);
    client.say(JSON.stringify({ type: 'subscribe', channel: 'a', [name]: cursor }));
    await told(client, 1);
    t.equal(client.all[0], 'second', name);
  }
});

/** Rejected messages of a client that may publish, and the whole answer. */
const UNPUBLISHED: readonly (readonly [members: object, error: string])[] = [
  [{ channel: 'a' }, 'data is required'],
  [{ channel: 'a', data: null }, 'data is required'],
  [{ channel: 'a', data: { x: 1 } }, 'data: must be a string'],
  [{ channel: 'a', data: 5, id: 'w7' }, 'data: must be a string'],
  [{ channel: 'a', data: 'x', id: 7 }, 'id: must be a string'],
  [{ channel: 'a', data: 'x', event: 7, id: 'w8' }, 'event: must be a string'],
];

t.test('a rejected message names the member, and repeats channel and id', async (t) => {
  const world = await startComet(t, { workers: 1, clientPublish: true });
  const client = await open(world, '?channel=a');
  await told(client, 1);
  for (const [at, [members, error]] of UNPUBLISHED.entries()) {
    client.say(JSON.stringify({ type: 'publish', ...members }));
    const { id } = members as { id?: unknown };
    const wanted = {
      type: 'error',
      error,
      channel: 'a',
      ...(typeof id === 'string' ? { id } : {}),
    };
    t.strictSame(JSON.parse((await told(client, at + 2))[at + 1] ?? ''), wanted);
  }
  client.say('{"type":"publish","channel":"a","data":"","id":null,"event":null}');
  await until('the empty message', () => client.messages.length === 1);
});
