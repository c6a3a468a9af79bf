// Real clients: every client library receives the published messages byte for byte. Where
// Server-Sent Events turn every line end into LF (HTML standard, 9.2.6), nothing else changes.
import { spawn } from 'node:child_process';

import { EventSource as PackagedEventSource } from 'eventsource';
import { createParser } from 'eventsource-parser';
import fc from 'fast-check';
import type { Browser, Page } from 'playwright-core';
import t from 'tap';
import { EventSource as UndiciEventSource, WebSocket as UndiciWebSocket } from 'undici';
import WsWebSocket from 'ws';

import { noBrowser, openPage, servePage, startBrowser } from '../support/browser.js';
import { startComet, type Batch, type Seen, type World } from '../support/comet-world.js';
import { until } from '../support/helpers.js';
import { without } from '../support/requirements.js';

const SEED = 20_261_121;
const CHANNEL = 'all';
/** Event names. An EventSource only dispatches the names it has a listener for. */
const NAMES = ['goal', ' led by a blank', 'a: b', 'ünï 日本語 😀', 'x'.repeat(128)];

interface Published {
  readonly data: Buffer | string;
  readonly event?: string;
  readonly id?: string;
}

const TEXTS = [
  ...['one line', '', ' ', '\t', ' led by a blank', '  by two', ':colon', ': comment', 'ends in '],
  ...['\n', '\n\n', '\r', '\r\n', '\n\r', 'a\nb', 'a\rb', 'a\r\nb', 'a\n\nb', 'a\r\rb', 'a\n\rb'],
  ...['a\r\n\r\nb', 'a\r\n\nb', '\nled', '\r\nled', '\n\n\nled', 'end\n', 'end\r', 'end\r\n'],
  ...['end\n\n', 'a\n:b\n c\n', 'id: 1\ndata: 2\nevent: 3\nretry: 100000\n\nmore', 'data', 'id:'],
  ...['\ufeffwith a mark', 'a\ufeff', '\u2028', 'a\u2029b', '\u0085', '\0', 'a\0b', '\x01\x1f\x7f'],
  ...['😀', '👩‍👩‍👧 🏳️‍🌈', 'e\u0301', '\ud7ff\ue000\uffff\u{10000}\u{10ffff}', 'مرحبا', '日本語'],
  ...['"', '\\', '\\u0041', '</script><!--', '{"a":[1,2,{"b":null}]}', '%00%0a', '\ufffd'],
  ...['x'.repeat(125), 'x'.repeat(126), 'x'.repeat(65_535), 'x'.repeat(65_536)],
  ...['日'.repeat(21_845), '😀'.repeat(16_384), '\n'.repeat(2000), '"'.repeat(65_536)],
  // In JSON each of these takes six bytes.
  '\x01'.repeat(65_536),
];

const MESSAGES: readonly Published[] = [
  ...TEXTS.map((data) => ({ data })),
  ...NAMES.map((event) => ({ data: `named ${event}`, event })),
  { data: 'named as all are', event: 'message' },
  { data: 'an id of its own', id: 'order: 7 ü😀' },
  { data: 'both', id: ' led by a blank', event: 'goal' },
  { data: Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)) },
  { data: Buffer.alloc(0) },
  ...fc
    .sample(
      fc.string({
        unit: fc.constantFrom(
          '\r',
          '\n',
          ' ',
          ':',
          'a',
          '\t',
          '\ufeff',
          '\u2028',
          '😀',
          '\0',
          '日',
        ),
        maxLength: 12,
      }),
      { seed: SEED, numRuns: 100 },
    )
    .map((data) => ({ data })),
  { data: 'the end' },
];

/** One browser for all tests; each test opens its own page. */
let started: Promise<Browser> | undefined;
const theBrowser = (): Promise<Browser> => (started ??= startBrowser(t));
const skip = noBrowser;
/** Options of the test that also listens with curl. */
const skipAll = noBrowser || without('curl');

/** A message with every field that a transport may send. */
type Note = Seen & { readonly id?: string; readonly encoding?: string };

function wantedAsJson(cursors: readonly string[]): Note[] {
  return MESSAGES.map(({ data, id, event }, at) => ({
    channel: CHANNEL,
    cursor: cursors[at] ?? '',
    ...(id === undefined ? {} : { id }),
    ...(event === undefined ? {} : { event }),
    ...(typeof data === 'string'
      ? { data }
      : { encoding: 'base64', data: data.toString('base64') }),
  }));
}

/** The messages after the line-end rules of Server-Sent Events. */
function wantedAsEvents(cursors: readonly string[]): Note[] {
  return MESSAGES.map(({ data, event }, at) => ({
    cursor: cursors[at] ?? '',
    data: typeof data === 'string' ? data.replace(/\r\n?/g, '\n') : data.toString('base64'),
    event: event ?? 'message',
  }));
}

/** A client that listens. */
interface Listener {
  readonly name: string;
  readonly kind: 'events' | 'json';
  seen(): Note[] | Promise<Note[]>;
  close(): void;
}

interface EventLike {
  readonly type: string;
  readonly data?: unknown;
  readonly lastEventId?: string;
}

interface EventSourceLike {
  addEventListener(name: string, listener: (event: EventLike) => void): void;
  close(): void;
}

function listenToSource(name: string, source: EventSourceLike): Listener {
  const seen: Note[] = [];
  for (const event of ['message', ...NAMES]) {
    source.addEventListener(event, ({ type, data, lastEventId }) => {
      seen.push({ cursor: lastEventId ?? '', data: String(data), event: type });
    });
  }
  return { name, kind: 'events', seen: () => seen, close: () => source.close() };
}

/** Keeps messages and drops all other notes of the server. */
function takeNote(seen: Note[], text: string): void {
  const { type, ...note } = JSON.parse(text) as Note & { type: string };
  if (type === 'message') seen.push(note);
}

interface WebSocketLike {
  onmessage: unknown;
  close(): void;
}

function listenToSocket(name: string, socket: WebSocketLike): Listener {
  const seen: Note[] = [];
  socket.onmessage = ({ data }: { data: unknown }) => {
    takeNote(seen, String(data));
  };
  return { name, kind: 'json', seen: () => seen, close: () => socket.close() };
}

/** curl on an endless stream; passes its output to `take` as it arrives. */
function listenWithCurl(
  name: string,
  kind: Listener['kind'],
  url: string,
  taker: (seen: Note[]) => (text: string) => void,
): Listener {
  const seen: Note[] = [];
  const take = taker(seen);
  const child = spawn('curl', ['-sSN', '--max-time', '60', url], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  // Some texts begin with a byte order mark, which must be kept.
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  child.stdout.on('data', (bytes: Buffer) => {
    take(decoder.decode(bytes, { stream: true }));
  });
  return { name, kind, seen: () => seen, close: () => child.kill('SIGKILL') };
}

function takeEvents(seen: Note[]): (text: string) => void {
  const parser = createParser({
    onEvent: ({ id, event, data }) => {
      if (event === 'megacomet.subscribed') return;
      seen.push({ cursor: id ?? '', data, event: event ?? 'message' });
    },
    onError: (error) => t.fail(`eventsource-parser: ${error.message}`),
  });
  return (text) => {
    parser.feed(text);
  };
}

function takeLines(seen: Note[]): (text: string) => void {
  let rest = '';
  return (text) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines.filter((one) => one !== '')) takeNote(seen, line);
  };
}

function listenEverywhere(world: World, page: Page): Listener[] {
  const authority = `127.0.0.1:${world.port}`;
  const query = `channel=${CHANNEL}`;
  const events = `http://${authority}/events?${query}`;
  const socket = `ws://${authority}/ws?${query}`;
  const inPage = (name: string, kind: Listener['kind'], list: string): Listener => ({
    name: `Chromium's ${name}`,
    kind,
    seen: () => page.evaluate<Note[]>(`seen.${list}`),
    close: () => undefined,
  });
  return [
    inPage('EventSource', 'events', 'eventSource'),
    inPage('WebSocket', 'json', 'webSocket'),
    listenToSource("undici's EventSource", new UndiciEventSource(events)),
    listenToSource("eventsource's EventSource", new PackagedEventSource(events)),
    listenWithCurl('curl and eventsource-parser', 'events', events, takeEvents),
    listenWithCurl('curl on a stream', 'json', events.replace('events', 'stream'), takeLines),
    listenToSocket("undici's WebSocket", new UndiciWebSocket(socket)),
    listenToSocket('ws with deflate', new WsWebSocket(socket)),
    listenToSocket('ws without', new WsWebSocket(socket, { perMessageDeflate: false })),
  ];
}

/** Fetches everything after a cursor by polls, like a client that was disconnected. */
async function pollAll(world: World, since: string): Promise<Note[]> {
  const seen: Note[] = [];
  while (seen.length < MESSAGES.length) {
    const url = `http://127.0.0.1:${world.port}/poll?channel=${CHANNEL}&since=${since}`;
    const batch = (await (await fetch(url)).json()) as Batch;
    if (!batch.recovered) throw new Error('the poll reported a gap');
    seen.push(...batch.messages);
    since = batch.cursor;
  }
  return seen;
}

t.test('every real client receives any text as published', { skip: skipAll }, async (t) => {
  const world = await startComet(t, {
    workers: 1,
    origin: ['*'],
    historyCount: 1000,
    // Publishing megabytes at once needs room in the send queues.
    sendQueueBytes: 16_777_216,
  });
  const pages = await servePage(t, 'test/support/pages/clients.html');
  const page = await openPage(t, await theBrowser(), `http://127.0.0.1:${pages}/`);
  const authority = `127.0.0.1:${world.port}`;
  await page.evaluate(
    `openEventSource('http://${authority}/events?channel=${CHANNEL}', ${JSON.stringify(NAMES)});
     openWebSocket('ws://${authority}/ws?channel=${CHANNEL}');`,
  );
  const listeners = listenEverywhere(world, page);
  t.teardown(() => {
    for (const listener of listeners) listener.close();
  });
  const subscribers = async (): Promise<number | undefined> =>
    (await world.server.channels()).channels[0]?.subscribers;
  await until('all to have subscribed', async () => (await subscribers()) === listeners.length);

  const { cursor: start } = await world.server.publish('other', 'before');
  const cursors: string[] = [];
  for (const { data, ...options } of MESSAGES) {
    cursors.push((await world.server.publish(CHANNEL, data, options)).cursor);
  }
  const wanted = { events: wantedAsEvents(cursors), json: wantedAsJson(cursors) };
  for (const listener of listeners) {
    await until(listener.name, async () => (await listener.seen()).length >= MESSAGES.length);
    t.strictSame(await listener.seen(), wanted[listener.kind], listener.name);
  }
  t.match(
    await page.evaluate<string[]>('states.webSocket'),
    [/^open permessage-deflate/],
    'the browser agreed on deflate',
  );
  t.strictSame(await pollAll(world, start), wanted.json, 'polls, afterwards');
  const jsonp = `'http://${authority}/poll?channel=${CHANNEL}', '${start}', ${MESSAGES.length}`;
  await page.evaluate(`openJsonp(${jsonp})`);
  const inPage = (): Promise<Note[]> => page.evaluate<Note[]>('seen.jsonp');
  await until('the scripts', async () => (await inPage()).length >= MESSAGES.length);
  t.strictSame(await inPage(), wanted.json, "Chromium's scripts, afterwards");
});

const channelOf = (world: World): string => `127.0.0.1:${world.port}/events?channel=a`;

t.test(
  'a browser that was disconnected reconnects by itself and receives the messages it missed',
  { skip },
  async (t) => {
    const pages = await servePage(t, 'test/support/pages/clients.html');
    const origin = `http://127.0.0.1:${pages}`;
    const world = await startComet(t, {
      workers: 1,
      retry: 100,
      origin: [origin],
      historyCount: 5,
    });
    const page = await openPage(t, await theBrowser(), origin);
    await page.evaluate(`openEventSource('http://${channelOf(world)}', ['megacomet.gap'])`);
    const texts = async (): Promise<string[]> =>
      (await page.evaluate<Note[]>('seen.eventSource')).map(({ data }) => data);
    const opens = async (): Promise<number> => {
      const states = await page.evaluate<string[]>('states.eventSource');
      return states.filter((state) => state === 'open').length;
    };
    const subscribed = async (): Promise<boolean> =>
      (await world.server.channels()).channels[0]?.subscribers === 1;
    await until('the browser to subscribe', subscribed);
    await world.server.publish('a', 'before');
    await until('the first message', async () => (await texts()).length === 1);

    await world.server.disconnect('a');
    await world.server.publish('a', 'meanwhile 1');
    await world.server.publish('a', 'meanwhile 2');
    await until('the missed messages', async () => (await texts()).length === 3);
    t.strictSame(await texts(), ['before', 'meanwhile 1', 'meanwhile 2']);
    t.equal(await opens(), 2, 'over a second connection');

    // It sends its last event ID even though this connection has brought no message.
    await world.server.disconnect('a');
    await until('the third connection', async () => (await opens()) === 3);
    await until('the browser to subscribe', subscribed);
    await world.server.publish('a', 'after');
    await until('the next message', async () => (await texts()).length === 4);
    t.equal((await texts()).at(-1), 'after', 'no message arrives twice');

    // More than the history keeps, and more than a worker caches for polls.
    await world.server.disconnect('a');
    for (let n = 1; n <= 30; n++) await world.server.publish('a', `many ${n}`);
    await until('the gap notice', async () => (await texts()).length > 4);
    const [word] = (await texts()).slice(4);
    t.match(word, /^\{"recovered":false,/, 'the gap notice comes first');
  },
);

t.test('pages of an allowed origin may read responses and open WebSockets', { skip }, async (t) => {
  const pages = await servePage(t, 'test/support/pages/clients.html');
  const origin = `http://127.0.0.1:${pages}`;
  const world = await startComet(t, { workers: 1, origin: ['https://a.example', origin] });
  const authority = `127.0.0.1:${world.port}`;
  const page = await openPage(t, await theBrowser(), origin);
  const states = (kind: string): Promise<string[]> => page.evaluate<string[]>(`states.${kind}`);
  await page.evaluate(`openEventSource('http://${channelOf(world)}', [])`);
  await page.evaluate(`openWebSocket('ws://${authority}/ws?channel=a')`);
  await until('the source', async () => (await states('eventSource')).length > 0);
  await until('the socket', async () => (await states('webSocket')).length > 0);
  t.strictSame(await states('eventSource'), ['open']);
  t.match((await states('webSocket'))[0], /^open/);

  const { cursor: since } = await world.server.publish('other', 'before');
  const { cursor } = await world.server.publish('a', 'x');
  const poll = (headers: object): Promise<{ status: number; cursor: string | null }> =>
    page.evaluate(
      `tryFetch('http://${authority}/poll?channel=a&since=${since}', ${JSON.stringify(headers)})`,
    );
  t.strictSame(await poll({}), { status: 200, cursor }, 'the script can read the cursor');
  // For these headers a browser first sends a preflight OPTIONS request.
  t.strictSame(await poll({ 'Last-Event-ID': since }), { status: 200, cursor });
  t.strictSame(await poll({ 'Cache-Control': 'no-cache' }), { status: 200, cursor });
  t.strictSame(await poll({ 'X-Other': '1', Authorization: 'x' }), { status: 200, cursor });
  const bad: unknown = await page.evaluate(`tryFetch('http://${authority}/poll?channel=', {})`);
  t.match(bad, { status: 400 }, 'the script can read errors too');
});

t.test('pages of other origins may not, and pages of the same origin may', { skip }, async (t) => {
  const pages = await servePage(t, 'test/support/pages/clients.html');
  const world = await startComet(t, { workers: 1, origin: [`http://127.0.0.1:${pages}`] });
  const authority = `127.0.0.1:${world.port}`;
  // The same server under another host name is another origin.
  const stranger = await openPage(t, await theBrowser(), `http://localhost:${pages}`);
  await stranger.evaluate(`openEventSource('http://${channelOf(world)}', [])`);
  await stranger.evaluate(`openWebSocket('ws://${authority}/ws?channel=a')`);
  const states = (kind: string): Promise<string[]> => stranger.evaluate<string[]>(`states.${kind}`);
  await until('the source', async () => (await states('eventSource')).length > 0);
  await until('the socket', async () => (await states('webSocket')).length > 0);
  t.strictSame(await states('eventSource'), ['error 2'], 'it does not retry');
  t.strictSame(await states('webSocket'), ['close 1006'], 'it never opened');
  const poll = `http://${authority}/poll?channel=a&timeout=1`;
  t.match(await stranger.evaluate(`tryFetch('${poll}', {})`), { status: 0 });

  const own = await openPage(t, await theBrowser(), `http://${authority}/nothing`);
  const opened: unknown = await own.evaluate(`new Promise((resolve) => {
    const socket = new WebSocket('ws://${authority}/ws?channel=a');
    socket.onopen = () => resolve('open');
    socket.onclose = ({ code }) => resolve(code);
  })`);
  t.equal(opened, 'open', 'the same origin needs no entry in the list');
});
