// Odd or hostile input of channel clients, over real sockets: names, texts, cursors, and polls that
// are disconnected, doubled or late. Each transport answers the same.
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { createParser } from 'eventsource-parser';
import t from 'tap';

import type { ChannelInfo } from '../../lib/broker/publishing.js';
import {
  CLIENTS,
  exchange,
  startComet,
  StreamClient,
  WebSocketClient,
  type Batch,
  type Client,
  type World,
} from '../support/comet-world.js';
import { until } from '../support/helpers.js';
import { closeFrame, converse, handshake } from '../support/websocket-peer.js';

const total = (world: World, name: string): number => Number(world.server.stats().totals[name]);

/** Names that could be confused with one another, or taken for more than a name. */
const NAMES = [
  ...['news', 'News', 'NEWS', 'news/', 'news//', '/news', 'news/x', 'news/X', 'news.x', 'news x'],
  ...[
    '.',
    '..',
    '../',
    '../news',
    './news',
    '>',
    'news.>',
    '?',
    '#',
    '&',
    '=',
    '+',
    '%',
    '~',
    '\\',
  ],
  ...['%00', '%2f', '%2F', 'news%2fx', '%252f', '%2e%2e%2f', '..%2fnews', '%20', 'a+b', 'a b'],
  ...['__proto__', 'constructor', 'prototype', 'hasOwnProperty', 'toString', 'valueOf', '0', '-1'],
  ...['null', 'undefined', 'true', '{}', '[]', '"', "'", '<script>', '${a}', '$', 'a;b', 'a,b'],
  // These look the same: composed or not, Latin or Cyrillic, wide, with invisible marks.
  ...['é', 'e\u0301', 'а', 'a', 'ａ', 'a\u200b', 'a\ufeff', 'ſ', 's', 'ß', 'ss', 'ı', 'i', 'İ'],
  ...['\u2028', '\u202enews', '😀', 'x'.repeat(200), 'x'.repeat(199), 'ä'.repeat(100)],
];

t.test('names are compared byte for byte on every transport', async (t) => {
  const world = await startComet(t, { workers: 2, maxConnections: 1000 });
  const clients: Client[] = NAMES.flatMap((name, n) => {
    const Kind = CLIENTS[n % CLIENTS.length] ?? StreamClient;
    return [new Kind(world, [name])];
  });
  t.teardown(() => {
    for (const client of clients) client.close();
  });
  await Promise.all(clients.map((client) => client.open()));
  for (const name of NAMES) await world.server.publish(name, `of ${name}`);
  for (const [at, client] of clients.entries()) {
    await client.has(1);
    t.strictSame(client.data, [`of ${NAMES[at] ?? ''}`], `number ${at}`);
  }
  const { channels } = await world.server.channels({ limit: 10_000 });
  const listed = channels.map((one) => one.channel);
  t.strictSame(listed.sort(), [...NAMES].sort(), 'each is listed under its own name');
});

/** Queries with an invalid channel. */
const NO_NAMES = [
  ...['', '%20a', 'a%20', '+', '*', 'a*', 'a/**', '*/a', '%2a', 'a%2f*b', '%00', 'a%00b', 'a%0ab'],
  ...['a%0db', '%0d%0aX:%20y', '%7f', '%c2%80', '%c2%9f', '%ff', '%c0%af', '%ed%a0%80', '%e2%82'],
  ...['x'.repeat(201), '%c3%a4'.repeat(101), '%', '%4', '%zz', '%u0041'],
];

/** The status code of a GET on each transport. */
async function codesOf(world: World, query: string): Promise<string> {
  const codes = ['events', 'stream', 'poll'].map(async (path) => {
    const text = await exchange(
      world.port,
      `GET /${path}?${query} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`,
      (text) => text.length >= 12,
    );
    return text.slice(9, 12);
  });
  const { head } = await converse(world.port, [handshake(`/ws?${query}`), closeFrame(1000)]);
  return [...(await Promise.all(codes)), head.slice(9, 12)].join(' ');
}

t.test('an invalid name is rejected on every transport, and nothing is kept', async (t) => {
  const world = await startComet(t, { workers: 1, channelsPerConnection: 4, pollTimeout: 1 });
  for (const name of NO_NAMES) {
    t.equal(await codesOf(world, `channel=${name}`), '400 400 400 400', name.slice(0, 20));
    t.equal(await codesOf(world, `channel=a&channel=${name}`), '400 400 400 400', 'as the second');
  }
  t.equal(await codesOf(world, `channel=${'x'.repeat(10_000)}`), '414 414 414 414', '10 KB');
  const five = 'channel=a&channel=b&channel=c&channel=d&channel=e';
  t.equal(await codesOf(world, five), '413 413 413 413', 'one more than a connection may have');
  t.strictSame((await world.server.channels()).channels, []);
  await until('all sessions to be freed', () => total(world, 'sessions') === 0);
});

t.test('thousands of channels without subscribers are freed', async (t) => {
  const world = await startComet(t, {
    workers: 1,
    channelRetention: 1,
    pollTimeout: 1,
    historyCount: 0,
  });
  for (let round = 0; round < 20; round++) {
    const channels = Array.from({ length: 100 }, (_, n) => `r${round}/${n}`);
    const clients = [
      new StreamClient(world, channels),
      new WebSocketClient(world, [`r${round}/*`, ...channels.slice(1)]),
    ];
    for (const client of clients) await client.open();
    await world.server.publish(`r${round}/0`, 'x');
    for (const client of clients) await client.has(1);
    for (const client of clients) client.close();
  }
  await until('none to be left in the worker', () => total(world, 'channels') === 0);
  await until(
    'none in the manager',
    async () => (await world.server.channels()).channels.length === 0,
  );
  t.equal(total(world, 'sessions'), 0);
});

/** Texts with every character that any parser takes for a line end. */
const TEXTS = [
  ...['', ' ', '\n', '\n\n', 'a\nb', '\na\n', 'data: x', 'a\n\ndata: b', ':', 'id: 1\nevent: x'],
  ...['\ufeff', '\ufeffa', '\u2028\u2029', '\0', 'a\0b', '\x1b[2J', '\u0085', '\x0b\x0c', '💩'],
  ...['</script>', '"\\\n\u2028', '\\u0000', '{"type":"subscribed"}', 'retry: 1', '﷐\uffff'],
];
/** A line end that Server-Sent Events turn into LF. */
const RETURNS = ['\r', '\r\n', 'a\rb', 'a\r\nb', '\r\r\n\n', 'a\r\n\r\ndata: b', 'a\r', '\r\ra'];
const BYTES = ['ff', '61ff62', 'c080', 'eda080', 'f4908080', 'e282', '00ff'].map((hex) =>
  Buffer.from(hex, 'hex'),
);

/** The messages of a stream, as eventsource-parser reads them. */
function messagesIn(body: string): string[] {
  const messages: string[] = [];
  const parser = createParser({
    onEvent: ({ event, data }) => {
      if (event === undefined) messages.push(data);
    },
  });
  parser.feed(body);
  return messages;
}

t.test('any text arrives as it was published', async (t) => {
  const world = await startComet(t, { workers: 1 });
  const clients = CLIENTS.map((Kind) => new Kind(world, ['a']));
  for (const client of clients) await client.open();
  let events = '';
  const raw = createConnection(world.port, '127.0.0.1').setEncoding('utf8');
  raw.on('data', (text: string) => (events += text));
  raw.write('GET /events?channel=a HTTP/1.1\r\nHost: a\r\n\r\n');
  await until('the last to subscribe', () => events.includes('megacomet.subscribed'));
  const all = [...TEXTS, ...RETURNS, ...BYTES];
  for (const data of all) await world.server.publish('a', data);
  const wanted = all.map((data) => (typeof data === 'string' ? data : data.toString('base64')));
  const folded = wanted.map((text) => text.replace(/\r\n?/g, '\n'));
  for (const client of clients) {
    await client.has(all.length);
    const isEvents = client.constructor.name === 'SseClient';
    t.strictSame(client.data, isEvents ? folded : wanted, client.constructor.name);
    client.close();
  }
  const body = (): string => events.slice(events.indexOf('\r\n\r\n') + 4);
  await until('the last to have all', () => messagesIn(body()).length >= folded.length);
  t.strictSame(messagesIn(body()), folded, 'and in another parser of Server-Sent Events');
  t.notMatch(body(), /\r/, 'no CR is ever written');
  raw.destroy();
});

/** Invalid cursors, some with the epoch of the server. */
function invalidCursors(epoch: string): string[] {
  const numbers = ['-1', '+1', '01', '', '1.1', '1e3', '0x1', ' 1', '18446744073709551616'];
  return [
    ...numbers.map((number) => `${epoch}.${number}`),
    ...[
      '0',
      '-1',
      'garbage',
      epoch,
      `${epoch}.`,
      `.1`,
      `${epoch}x.1`,
      '%00',
      'null',
      '1'.repeat(7000),
    ],
    `${epoch.toUpperCase()}x.1`,
  ];
}

t.test('since is a cursor or rejected', async (t) => {
  const world = await startComet(t, { workers: 1, pollTimeout: 1 });
  const { cursor } = await world.server.publish('a', 'x');
  for (const since of invalidCursors(cursor.slice(0, 16))) {
    const query = `channel=a&since=${encodeURIComponent(since).replace('%2500', '%00')}`;
    t.equal(await codesOf(world, query), '400 400 400 400', since.slice(0, 40));
  }
  t.equal(await codesOf(world, `channel=a&since=${'1'.repeat(10_000)}`), '414 414 414 414');
  const twice = `channel=a&since=${cursor}&since=${cursor.slice(0, 16)}.0`;
  t.equal(await codesOf(world, twice), '400 400 400 400', 'two cursors');
  t.equal(await codesOf(world, 'channel=a&since='), '400 400 400 400', 'none');
  t.equal(await codesOf(world, 'channel=a&timeout=1&timeout=2'), '400 400 400 400');
  t.equal(await codesOf(world, 'channel=a&callback=f&callback=g'), '400 400 400 400');
});

t.test('an unknown cursor is answered with a gap notice on every transport', async (t) => {
  const world = await startComet(t, { workers: 1 });
  const { cursor } = await world.server.publish('a', 'first');
  await world.server.publish('a', 'second');
  const epoch = cursor.slice(0, 16);
  const unknown = [
    ...['1000', '4294967296', '9007199254740993', '18446744073709551615'].map(
      (n) => `${epoch}.${n}`,
    ),
    ...['0000000000000000.0', 'ffffffffffffffff.18446744073709551615', '0000000000000001.1'],
  ];
  for (const since of unknown) {
    for (const Kind of CLIENTS) {
      const client = new Kind(world, ['a']);
      client.cursor = since;
      await client.open();
      await until('the gap notice', () => client.lost > 0);
      await world.server.publish('a', 'next');
      await until('the next', () => client.data.at(-1) === 'next');
      t.equal(client.lost, 1, `${Kind.name} from ${since}`);
      client.close();
    }
  }
});

t.test('the cursor of a message on one channel is valid on all others', async (t) => {
  const world = await startComet(t, { workers: 1 });
  const cursors: string[] = [];
  for (const channel of ['a', 'b', 'a', 'b']) {
    cursors.push((await world.server.publish(channel, `${channel}${cursors.length}`)).cursor);
  }
  for (const Kind of CLIENTS) {
    for (const [at, missed] of [['b1', 'b3'], ['b3'], ['b3']].entries()) {
      const client = new Kind(world, ['b']);
      client.cursor = cursors[at] ?? '';
      await client.open();
      await client.has(missed.length);
      t.strictSame([client.data, client.lost], [missed, 0], `${Kind.name} after number ${at}`);
      client.close();
    }
  }
});

t.test('Last-Event-ID of a reconnecting browser overrides since in its URL', async (t) => {
  const world = await startComet(t, { workers: 1 });
  const cursors: string[] = [];
  for (const data of ['1', '2', '3']) cursors.push((await world.server.publish('a', data)).cursor);
  const [first = '', second = ''] = cursors;
  const reconnect = async (path: string, since: string, last: string): Promise<string> => {
    const lines = `Host: a\r\nConnection: close\r\nLast-Event-ID: ${last}\r\n`;
    const target = `/${path}?channel=a&since=${since}`;
    const isWhole = (text: string): boolean => /data(": ?"|: )3|"recovered":false/.test(text);
    return exchange(world.port, `GET ${target} HTTP/1.1\r\n${lines}\r\n`, isWhole);
  };
  for (const path of ['events', 'stream', 'poll']) {
    const found = await reconnect(path, first, second);
    t.match(found, /3/, path);
    t.notMatch(
      found.slice(found.indexOf('\r\n\r\n')),
      /data(": ?"|: )2/,
      'no message arrives twice',
    );
    t.match(
      await reconnect(path, first, 'garbage'),
      /"recovered":false/,
      'or it receives a gap notice',
    );
  }
});

async function poll(world: World, since: string, extra = ''): Promise<Batch> {
  const url = `http://127.0.0.1:${world.port}/poll?channel=a&since=${since}${extra}`;
  return (await (await fetch(url)).json()) as Batch;
}

const dataOf = (batch: Batch): string[] => batch.messages.map(({ data }) => data);

t.test('between two polls no message is lost or repeated', async (t) => {
  const world = await startComet(t, { workers: 2 });
  let { cursor } = await world.server.publish('b', 'before');
  const seen: string[] = [];
  for (let n = 0; n < 60; n += 3) {
    // One message between the polls, one during the request, one around the time the next poll waits.
    await world.server.publish('a', `${n}`);
    const asked = poll(world, cursor);
    void world.server.publish('a', `${n + 1}`);
    void world.server.publish('b', 'other');
    const batch = await asked;
    t.ok(batch.recovered);
    seen.push(...dataOf(batch));
    cursor = batch.cursor;
    void world.server.publish('a', `${n + 2}`);
  }
  while (seen.length < 60) {
    const batch = await poll(world, cursor);
    seen.push(...dataOf(batch));
    cursor = batch.cursor;
  }
  t.strictSame(
    seen,
    Array.from({ length: 60 }, (_, n) => `${n}`),
  );
});

t.test('two polls with the same cursor receive the same, waiting or not', async (t) => {
  const world = await startComet(t, { workers: 2 });
  const { cursor } = await world.server.publish('b', 'before');
  const held = [1, 2, 3, 4].map(() => poll(world, cursor));
  await until('all to wait', () => total(world, 'subscriptions') === 4);
  await world.server.publish('a', 'x');
  const batches = await Promise.all(held);
  for (const batch of batches) t.strictSame([dataOf(batch), batch.recovered], [['x'], true]);
  t.equal(new Set(batches.map((batch) => batch.cursor)).size, 1);
  for (let n = 0; n < 4; n++) t.strictSame(dataOf(await poll(world, cursor)), ['x'], 'again');
});

t.test('a client that disconnects while its poll waits leaves nothing behind', async (t) => {
  const world = await startComet(t, {
    workers: 1,
    channelRetention: 1,
    pollTimeout: 5,
    historyCount: 0,
  });
  for (let round = 0; round < 10; round++) {
    const ways = ['end', 'destroy', 'resetAndDestroy'] as const;
    const sockets = Array.from({ length: 30 }, () => createConnection(world.port, '127.0.0.1'));
    for (const [at, socket] of sockets.entries()) {
      socket.on('error', () => undefined);
      await once(socket, 'connect');
      const callback = at % 2 ? '&callback=f' : '';
      const line = `GET /poll?channel=r${round}&channel=a${callback} HTTP/1.1\r\n`;
      socket.write(`${line}Host: a\r\nOrigin: http://a\r\n\r\n`);
    }
    await until('all to wait', () => total(world, 'subscriptions') === 60);
    for (const [at, socket] of sockets.entries()) {
      // Some disconnect at the moment of the answer.
      if (at === 15) void world.server.publish('a', 'x'.repeat(1000));
      socket[ways[at % 3] ?? 'end']();
    }
    await until('all to be gone', () => total(world, 'connections') === 0);
    for (const name of ['sessions', 'subscriptions', 'sendQueueBytes'])
      t.equal(total(world, name), 0);
  }
  await until('no channel to be left', () => total(world, 'channels') === 0);
});

t.test('history is bounded by count, age and bytes, and a gap is reported', async (t) => {
  const megabyte = 1_048_576;
  const world = await startComet(t, {
    workers: 1,
    historyCount: 5,
    historyAge: 1,
    historyBytes: megabyte,
    messageBytes: 100_000,
  });
  const { server } = world;
  const kept = async (): Promise<readonly ChannelInfo[]> =>
    (await server.channels({ limit: 10_000 })).channels;
  const { cursor } = await server.publish('a', '0');
  for (let n = 1; n < 20; n++) await server.publish('a', `${n}`);
  t.equal((await kept())[0]?.messages, 5, 'by count');
  const gap = await poll(world, cursor);
  t.strictSame([gap.recovered, dataOf(gap)], [false, ['15', '16', '17', '18', '19']]);
  await until('none to be left by age', async () => (await kept()).length === 0);
  const late = new StreamClient(world, ['a']);
  late.cursor = gap.messages[0]?.cursor ?? '';
  await late.open();
  t.strictSame([late.lost, late.data], [1, []], 'and the gap is reported');
  late.close();
  for (let n = 0; n < 100; n++) await server.publish(`c${n}`, 'x'.repeat(50_000));
  const bytes = (await kept()).reduce((sum, channel) => sum + channel.bytes, 0);
  t.ok(bytes > megabyte / 2 && bytes <= megabyte, `${bytes} by bytes`);
});
