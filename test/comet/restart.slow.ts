// Ordinary restarts: every kind of EventSource returns by itself, direct and behind both example
// proxies, and receives every message.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

import { EventSource } from 'eventsource';
import t, { type Test } from 'tap';

import { startBrowser } from '../support/browser.js';
import { Program, StreamClient } from '../support/comet-world.js';
import { startHaproxy, startNginx } from '../support/examples.js';
import { noFirefox, startFirefox } from '../support/firefox.js';
import { freePort, root, until } from '../support/helpers.js';
import { serveLocally } from '../support/local-server.js';
import { without } from '../support/requirements.js';

/** A restart takes 15 s. Each client goes through all of its states in the first few. */
const RESTARTS = Number(process.env['RESTARTS'] ?? 5);
/** A restart takes a drain, a reconnection time and a start. */
const RETURN_TIMEOUT_MS = 120_000;

t.setTimeout(1_700_000);

/** What each client received, by "client via". */
type Received = Map<string, Set<string>>;

/** Notes texts, and serves the page whose subscribers report theirs. */
function startReports(test: Test, received: Received): Promise<number> {
  const page = readFileSync(join(root, 'test/support/restart-page.html'));
  return serveLocally(test, (request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://localhost');
    if (pathname === '/report') {
      const key = `${searchParams.get('client') ?? ''} ${searchParams.get('via') ?? ''}`;
      received.get(key)?.add(searchParams.get('text') ?? '');
      response.writeHead(204).end();
    } else {
      response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(page);
    }
  });
}

function subscribeWithEventSource(test: Test, url: string, seen: Set<string>): void {
  const source = new EventSource(url);
  source.addEventListener('message', ({ data }) => seen.add(String(data)));
  source.addEventListener('error', () => {
    if (source.readyState === source.CLOSED) seen.add('dead');
  });
  test.teardown(() => {
    source.close();
  });
}

type FetchEventSource = (
  url: string,
  options: {
    openWhenHidden: boolean;
    signal: AbortSignal;
    onmessage: (event: { event: string; data: string }) => void;
    onclose: () => void;
  },
) => Promise<void>;

/** For this client the end of a response is not an error unless onclose throws. */
function subscribeWithFetch(test: Test, url: string, seen: Set<string>): void {
  Object.assign(globalThis, { window: globalThis, document: new EventTarget() });
  const module = createRequire(import.meta.url)('@microsoft/fetch-event-source') as {
    fetchEventSource: FetchEventSource;
  };
  const stop = new AbortController();
  const ended = module.fetchEventSource(url, {
    openWhenHidden: true,
    signal: stop.signal,
    onmessage: ({ event, data }) => {
      if (event === '') seen.add(data);
    },
    onclose: () => {
      throw new Error('the server closed the stream');
    },
  });
  const onEnd = (): void => {
    if (!stop.signal.aborted) seen.add('dead');
  };
  void ended.then(onEnd, onEnd);
  test.teardown(() => {
    stop.abort();
  });
}

const skip = without('chromium') || noFirefox || without('nginx') || without('haproxy');

t.test(`${RESTARTS} restarts end no EventSource and lose no message`, { skip }, async (t) => {
  const port = await freePort();
  const ports = {
    direct: port,
    nginx: (await startNginx(t, port)).port,
    haproxy: (await startHaproxy(t, port)).port,
  };
  const vias = Object.entries(ports);
  const received: Received = new Map();
  for (const client of ['chromium', 'firefox', 'eventsource', 'fetch-event-source']) {
    for (const [via] of vias) received.set(`${client} ${via}`, new Set());
  }
  const reports = await startReports(t, received);
  const serve = (): Promise<Program> =>
    Program.start(t, {
      args: [
        ...['--host', '127.0.0.1', '--port', String(port), '--workers', '2', '--origin', '*'],
        ...['--drain', '2', '--history-count', '100'],
      ],
    });
  let program = await serve();
  const pageOf = (client: string): string =>
    `http://127.0.0.1:${reports}/?client=${client}&via=${vias.map((via) => via.join(':')).join(',')}`;
  const browser = await startBrowser(t);
  await (await browser.newPage()).goto(pageOf('chromium'));
  startFirefox(t, pageOf('firefox'));
  for (const [via, viaPort] of vias) {
    const url = `http://127.0.0.1:${viaPort}/events?channel=a`;
    subscribeWithEventSource(t, url, received.get(`eventsource ${via}`) ?? new Set());
    subscribeWithFetch(t, url, received.get(`fetch-event-source ${via}`) ?? new Set());
  }
  await program.untilTotal('subscriptions', received.size, RETURN_TIMEOUT_MS);

  /** Publishes a text, and waits until every client has it. */
  const assertHeard = async (text: string): Promise<void> => {
    t.equal(await program.publish('a', text), 200);
    const deaf = (): string[] =>
      [...received].filter(([, seen]) => !seen.has(text)).map(([name]) => name);
    await until(`${text} at every client`, () => deaf().length === 0, RETURN_TIMEOUT_MS).catch(
      () => undefined,
    );
    t.same(deaf(), [], `every client has received "${text}"`);
  };

  await assertHeard('before the first restart');
  for (let restart = 1; restart <= RESTARTS; restart++) {
    t.equal(await program.publish('a', `last words ${restart}`), 200);
    await program.server.stop();
    program = await serve();
    await assertHeard(`after restart ${restart}`);
    const deaf = [...received].filter(([, seen]) => !seen.has(`last words ${restart}`));
    t.same(deaf, [], 'and the messages acknowledged before it');
  }
  const dead = [...received].filter(([, seen]) => seen.has('dead')).map(([name]) => name);
  t.same(dead, [], 'no client has given up');
  await program.server.stop();
});

t.test('an EventSource that meets a full server returns by itself', async (t) => {
  const program = await Program.start(t, { args: ['--workers', '1', '--max-connections', '1'] });
  const first = new StreamClient(program, ['a']);
  await first.open();
  const seen = new Set<string>();
  subscribeWithEventSource(t, `http://127.0.0.1:${program.port}/events?channel=a`, seen);
  await program.untilTotal('rejectedFullTotal', 1);
  first.close();
  await program.untilTotal('connections', 0);
  await program.untilTotal('subscriptions', 1, RETURN_TIMEOUT_MS);
  t.equal(await program.publish('a', 'hello'), 200);
  await until('the message', () => seen.has('hello'));
  t.notOk(seen.has('dead'), 'the client has not given up');
  await program.server.stop();
});
