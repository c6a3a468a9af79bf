// Every common client of Server-Sent Events knows its position from the first byte on: cut off
// before its first message, after it, and at a gap, it misses nothing without a notice. None of
// them reports an empty message.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

import { EventSource as PackagedEventSource } from 'eventsource';
import t, { type Test } from 'tap';
import { EventSource as UndiciEventSource } from 'undici';

import { noBrowser, openPage, servePage, startBrowser } from '../support/browser.js';
import { startComet, type World } from '../support/comet-world.js';
import { noFirefox, openScriptedPage, type ScriptedPage } from '../support/firefox.js';
import { until } from '../support/helpers.js';

const require = createRequire(import.meta.url);

/** The reports of a client to its page. */
interface Record {
  opens: number;
  gaps: number;
  readonly messages: string[];
}

interface Client {
  record(): Promise<Record>;
  close(): Promise<void>;
}

interface SourceLike {
  addEventListener(name: string, listener: (event: { readonly data?: unknown }) => void): void;
  close(): void;
}

const newRecord = (): Record => ({ opens: 0, gaps: 0, messages: [] });

function listenTo(source: SourceLike): Client {
  const record = newRecord();
  source.addEventListener('open', () => record.opens++);
  source.addEventListener('megacomet.gap', () => record.gaps++);
  source.addEventListener('message', ({ data }) => record.messages.push(String(data)));
  return {
    record: () => Promise.resolve(record),
    close: () => {
      source.close();
      return Promise.resolve();
    },
  };
}

interface FetchedEvent {
  readonly event: string;
  readonly data: string;
}

type FetchEventSource = (
  url: string,
  options: {
    openWhenHidden: boolean;
    signal: AbortSignal;
    onopen: () => Promise<void>;
    onmessage: (event: FetchedEvent) => void;
    onclose: () => void;
  },
) => Promise<void>;

/** The package calls onmessage for every block, and expects a window and a document. */
function fetchEventSource(url: string): Client {
  Object.assign(globalThis, { window: globalThis, document: new EventTarget() });
  const module = require('@microsoft/fetch-event-source') as { fetchEventSource: FetchEventSource };
  const record = newRecord();
  const stop = new AbortController();
  void module.fetchEventSource(url, {
    openWhenHidden: true,
    signal: stop.signal,
    onopen: () => {
      record.opens++;
      return Promise.resolve();
    },
    onmessage: ({ event, data }) => {
      if (event === 'megacomet.gap') record.gaps++;
      if (event === '' || event === 'message') record.messages.push(data);
    },
    // The end of the response is an error for this client, and then it reconnects.
    onclose: () => {
      throw new Error('the server closed the stream');
    },
  });
  return {
    record: () => Promise.resolve(record),
    close: () => {
      stop.abort();
      return Promise.resolve();
    },
  };
}

function polyfill(url: string): Client {
  const module = require('event-source-polyfill') as {
    EventSourcePolyfill: new (url: string) => SourceLike;
  };
  return listenTo(new module.EventSourcePolyfill(url));
}

/** A client in a page, which `expression` makes. */
async function inPage(page: ScriptedPage, expression: string): Promise<Client> {
  const id = `client${Math.random().toString(36).slice(2)}`;
  await page.evaluate(`(() => {
    const record = { opens: 0, gaps: 0, messages: [] };
    const source = ${expression};
    source.addEventListener('open', () => record.opens++);
    source.addEventListener('megacomet.gap', () => record.gaps++);
    source.addEventListener('message', ({ data }) => record.messages.push(data));
    if (source.stream) source.stream();
    window.${id} = { record, source };
  })()`);
  return {
    record: () => page.evaluate<Record>(`${id}.record`),
    // Awaited, since the teardown that follows ends the browser.
    close: async () => {
      await page.evaluate(`${id}.source.close()`);
    },
  };
}

/** Closes the connections of a channel, and publishes while its clients are away. */
async function publishWhileAway(world: World, channel: string, texts: string[]): Promise<void> {
  await world.server.disconnect(channel);
  // The worker gets these after the command, and before any client reconnects.
  for (const text of texts) await world.server.publish(channel, text);
}

async function untilMessage(client: Client, text: string): Promise<void> {
  await until(`message ${text}`, async () => (await client.record()).messages.includes(text));
}

type Open = (url: string) => Client | Promise<Client>;

async function checkCuts(t: Test, world: World, channel: string, open: Open): Promise<void> {
  const client = await open(`http://127.0.0.1:${world.port}/events?channel=${channel}`);
  t.teardown(() => client.close());
  await until('the client to open', async () => (await client.record()).opens === 1);
  await publishWhileAway(world, channel, ['one']);
  await untilMessage(client, 'one');
  await publishWhileAway(world, channel, ['two', 'three']);
  await untilMessage(client, 'three');
  t.match(await client.record(), { gaps: 0, messages: ['one', 'two', 'three'] });

  // More than the history and the caches of the worker keep.
  const many = Array.from({ length: 30 }, (_, at) => `many ${at}`);
  await publishWhileAway(world, channel, many);
  await untilMessage(client, 'many 29');
  await publishWhileAway(world, channel, ['end']);
  await untilMessage(client, 'end');
  const { gaps, messages } = await client.record();
  t.equal(gaps, 1, 'the gap is reported once');
  const kept = messages.slice(3, -1);
  t.strictSame(kept, many.slice(-kept.length), 'the messages after the gap are complete');
  t.notOk(messages.includes(''), 'no empty message');
}

/** The cursor in the URL is of another start of the server. */
async function checkOldCursor(t: Test, world: World, channel: string, open: Open): Promise<void> {
  const since = '000000000000000a.7';
  const path = `/events?channel=${channel}&since=${since}`;
  const client = await open(`http://127.0.0.1:${world.port}${path}`);
  t.teardown(() => client.close());
  await until('the gap', async () => (await client.record()).gaps === 1);
  await publishWhileAway(world, channel, ['one']);
  await untilMessage(client, 'one');
  t.match(await client.record(), { gaps: 1, messages: ['one'] }, 'the gap is reported once');
}

const NODE_CLIENTS: readonly [name: string, open: Open][] = [
  ['eventsource', (url) => listenTo(new PackagedEventSource(url))],
  ['undici', (url) => listenTo(new UndiciEventSource(url))],
  ['event-source-polyfill', polyfill],
  ['fetch-event-source', fetchEventSource],
];

const start = (t: Test): Promise<World> =>
  startComet(t, { workers: 1, retry: 100, heartbeat: 1, historyCount: 5, origin: ['*'] });

for (const [name, open] of NODE_CLIENTS) {
  t.test(`${name} misses nothing silently when it is cut off`, async (t) => {
    await checkCuts(t, await start(t), 'a', open);
  });

  t.test(`${name} learns of a gap once`, async (t) => {
    await checkOldCursor(t, await start(t), 'a', open);
  });
}

/** The modules of the package as one script; each has its own names. */
function fetchEventSourceScript(): string {
  const main = require.resolve('@microsoft/fetch-event-source');
  const read = (name: string): string =>
    readFileSync(join(dirname(main), `../esm/${name}.js`), 'utf8')
      .replace(/^import .*$/gm, '')
      .replace(/^export /gm, '');
  return `${read('parse')}\n${read('fetch')}\nwindow.fetchEventSource = fetchEventSource;`;
}

/** Makes fetch-event-source look like an EventSource to inPage(). */
const FETCHED_SOURCE = `window.FetchedSource = class extends EventTarget {
  constructor(url) {
    super();
    this.stop = new AbortController();
    void fetchEventSource(url, {
      openWhenHidden: true,
      signal: this.stop.signal,
      onopen: async () => void this.dispatchEvent(new Event('open')),
      onmessage: ({ event, data }) =>
        void this.dispatchEvent(new MessageEvent(event || 'message', { data })),
      onclose: () => {
        throw new Error('the server closed the stream');
      },
    });
  }
  close() {
    this.stop.abort();
  }
}`;

async function loadPackages(page: ScriptedPage): Promise<void> {
  const sse = readFileSync(require.resolve('sse.js'), 'utf8').replace(/^export .*$/gm, '');
  for (const script of [
    readFileSync(require.resolve('event-source-polyfill'), 'utf8'),
    `${sse}\nwindow.SSE = SSE;`,
    fetchEventSourceScript(),
    FETCHED_SOURCE,
  ]) {
    await page.evaluate(`(0, eval)(${JSON.stringify(`${script}\n;undefined`)})`);
  }
}

const PAGE_CLIENTS: readonly [name: string, make: (url: string) => string][] = [
  ['EventSource', (url) => `new EventSource('${url}')`],
  ['event-source-polyfill', (url) => `new EventSourcePolyfill('${url}')`],
  [
    'sse.js',
    (url) =>
      `new SSE('${url}', { start: false, autoReconnect: true, reconnectDelay: 100,
         useLastEventId: true })`,
  ],
  ['fetch-event-source', (url) => `new FetchedSource('${url}')`],
];

async function checkPage(t: Test, page: ScriptedPage): Promise<void> {
  const world = await start(t);
  await loadPackages(page);
  for (const [index, [name, make]] of PAGE_CLIENTS.entries()) {
    const open: Open = (url) => inPage(page, make(url));
    await t.test(name, (t) => checkCuts(t, world, `cut${index}`, open));
    await t.test(`${name}, at a gap`, (t) => checkOldCursor(t, world, `gap${index}`, open));
  }
}

t.test('clients in Chromium miss nothing silently', { skip: noBrowser }, async (t) => {
  const port = await servePage(t, 'test/support/pages/clients.html');
  await checkPage(t, await openPage(t, await startBrowser(t), `http://127.0.0.1:${port}/`));
});

t.test('clients in Firefox miss nothing silently', { skip: noFirefox }, async (t) => {
  await checkPage(t, await openScriptedPage(t));
});
