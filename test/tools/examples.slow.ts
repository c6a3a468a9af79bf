// The examples run unchanged except for their ports: the page in a browser, the service as a
// process, and both proxies with subscribers of every transport behind them.
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { EventSource } from 'eventsource';
import t, { type Test } from 'tap';
import WebSocket from 'ws';

import { noBrowser, openPage, servePage, startBrowser } from '../support/browser.js';
import { Secret } from '../support/client-tokens.js';
import { PollClient, startComet, type World } from '../support/comet-world.js';
import {
  example,
  start,
  startBackEnd,
  startHaproxy,
  startNginx,
  temporaryFolder,
  type Running,
} from '../support/examples.js';
import { Command, root, run, until } from '../support/helpers.js';
import { without } from '../support/requirements.js';

/** Starts the service, unchanged, from a folder with an installed package. */
function startService(test: Test, env: Readonly<Record<string, string>>): Running {
  const folder = temporaryFolder(test);
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(root, join(folder, 'node_modules/megacomet-ts'));
  writeFileSync(join(folder, 'push-service.mjs'), example('push-service/push-service.mjs'));
  return start(test, folder, [process.execPath, 'push-service.mjs'], env);
}

t.test('the service runs as it is in the checkout', async (t) => {
  const program = join(root, 'examples/push-service/push-service.mjs');
  const service = start(t, tmpdir(), [process.execPath, program], { PORT: '0' });
  await until('the service', () => service.output.includes('listening on'));
  service.child.stdin?.end('hello\n');
  await service.ended;
  t.equal(service.child.exitCode, 0, service.output);
});

t.test('serve --demo shows a page that subscribes and publishes', async (t) => {
  const args = ['serve', '--demo', '--port', '0', '--admin-port', '0', '--workers', '1'];
  const demo = new Command([...args, '--drain', '0', '--log-format', 'json']);
  const found = await until('the page', () => /"demo page at (http:[^"]+)"/.exec(demo.stdout));
  const [, url = ''] = found;
  t.match(url, /^http:\/\/127\.0\.0\.1:\d+\/$/, 'on loopback');
  const answer = await fetch(url);
  const html = await answer.text();
  t.equal(answer.status, 200);
  t.notMatch(html, /(src|href)="(?!data:)/, 'the page needs no other file');
  t.equal((await fetch(`${url}other`)).status, 404);
  const [, address = ''] = /data-address="([^"]+)"/.exec(html) ?? [];
  const { origin } = new URL(url);
  const allowed = await fetch(`http://${address}/poll?channel=demo&since=0000000000000000.0`, {
    headers: { Origin: origin },
  });
  t.equal(allowed.headers.get('access-control-allow-origin'), origin, 'the page may subscribe');
  demo.child.kill('SIGTERM');
  t.equal((await demo.run()).code, 0, 'it ends as serve does');
  const echo = await run(['serve', '--demo', '--protocol', 'echo']);
  t.match(echo, { code: 2, stderr: /--demo: requires --protocol comet/ });
});

t.test('a browser publishes and receives on the demo page', { skip: noBrowser }, async (t) => {
  const args = ['serve', '--demo', '--port', '0', '--admin-port', '0', '--workers', '1'];
  const demo = new Command([...args, '--drain', '0', '--log-format', 'json']);
  t.teardown(() => void demo.child.kill('SIGKILL'));
  const found = await until('the page', () => /"demo page at (http:[^"]+)"/.exec(demo.stdout));
  const page = await openPage(t, await startBrowser(t), found[1] ?? '');
  await until('the page to connect', async () => {
    return ((await page.locator('p').first().textContent()) ?? '').startsWith('connected');
  });
  await page.fill('input', 'hello <b>');
  await page.click('button');
  await until('the message', async () => (await page.locator('li').count()) === 1);
  t.equal(await page.locator('li').first().textContent(), 'hello <b>');
  demo.child.kill('SIGTERM');
  await demo.run();
});

t.test('the page shows the lines that the service sends', { skip: noBrowser }, async (t) => {
  const pages = await servePage(t, 'examples/page/index.html');
  const origin = `http://127.0.0.1:${pages}`;
  const service = startService(t, { PORT: '0', ORIGINS: `https://a.example,${origin}` });
  const listening = await until('the service', () => /listening on .*:(\d+)/.exec(service.output));
  const server = `http://127.0.0.1:${listening[1] ?? ''}`;
  const page = await openPage(t, await startBrowser(t), `${origin}/?server=${server}`);
  const shown = (id: string): Promise<string | null> => page.textContent(`#${id}`);
  await until('the page', async () => (await shown('state')) === 'connected');
  service.child.stdin?.write('first\nsecond <b>\n');
  await until('the messages', async () => /second/.test((await shown('messages')) ?? ''));
  t.strictSame(await page.locator('#messages li').allTextContents(), ['first', 'second <b>']);
  await until(
    'its publish results',
    () => (service.output.match(/ to 1 subscribers?/g) ?? []).length === 2,
  );
  service.child.stdin?.end();
  await until('the end', async () => (await shown('state')) === 'waiting');
  await service.ended;
  t.equal(service.child.exitCode, 0, 'the service ends at the end of its input');
  const other = startService(t, { PORT: listening[1] ?? '', ORIGINS: origin });
  await until('the service', () => /listening/.test(other.output));
  await until('the page', async () => (await shown('state')) === 'connected');
  // The page has missed all messages of the other service, and receives a gap notice.
  await until('an empty list', async () => (await shown('messages')) === '');
});

t.test('the page of a user refreshes its token and receives', { skip: noBrowser }, async (t) => {
  const secret = new Secret(t);
  const url = await startBackEnd(t, 'backend.mjs', { TOKEN_KEY: secret.path, TTL: '4' });
  const world = await startComet(t, { workers: 1, tokenKey: [secret.option], origin: [url] });
  const browser = await startBrowser(t);
  const page = await openPage(t, browser, `${url}/?server=ws://127.0.0.1:${world.port}`);
  const state = (): Promise<string | null> => page.textContent('#state');
  await until('the page', async () => (await state()) === 'log in first');
  await page.context().addCookies([{ name: 'session', value: '4f2a', url }]);
  await until('a new token', async () => (await state()) === 'refreshed as ada');
  await world.server.publish('news/1', 'hello <b>');
  await until('the message', async () => (await page.locator('li').count()) === 1);
  t.equal(await page.locator('li').first().textContent(), 'hello <b>');
});

/** A subscriber that records each message and can be closed. */
interface Subscriber {
  readonly name: string;
  readonly seen: readonly string[];
  close(): void;
}

function overEvents(authority: string): Subscriber {
  const seen: string[] = [];
  const source = new EventSource(`http://${authority}/events?channel=a`);
  source.onmessage = ({ data }) => seen.push(String(data));
  return { name: 'Server-Sent Events', seen, close: () => source.close() };
}

function overStream(authority: string): Subscriber {
  const seen: string[] = [];
  const abort = new AbortController();
  const read = async (): Promise<void> => {
    const answer = await fetch(`http://${authority}/stream?channel=a`, { signal: abort.signal });
    let text = '';
    const decoder = new TextDecoder();
    for await (const bytes of answer.body ?? []) {
      text += decoder.decode(bytes as Uint8Array, { stream: true });
      const lines = text.split('\n');
      text = lines.pop() ?? '';
      for (const line of lines.filter((one) => one !== '')) {
        const note = JSON.parse(line) as { type: string; data: string };
        if (note.type === 'message') seen.push(note.data);
      }
    }
  };
  read().catch(() => undefined);
  return { name: 'a stream', seen, close: () => abort.abort() };
}

function overWebSocket(authority: string): Subscriber {
  const seen: string[] = [];
  // Like a page that was loaded through the proxy: its origin is in no list.
  const socket = new WebSocket(`ws://${authority}/ws?channel=a`, { origin: `http://${authority}` });
  socket.on('error', () => undefined);
  socket.on('message', (bytes: Buffer) => {
    const note = JSON.parse(bytes.toString()) as { type: string; data: string };
    if (note.type === 'message') seen.push(note.data);
  });
  return { name: 'a WebSocket', seen, close: () => socket.terminate() };
}

async function overPolls(world: World): Promise<Subscriber> {
  const client = new PollClient(world, ['a']);
  await client.open();
  return {
    name: 'polls',
    get seen() {
      return client.data;
    },
    close: () => client.close(),
  };
}

/** Tests every transport through the proxy at a port. */
async function tryProxy(test: Test, world: World, port: number): Promise<void> {
  const authority = `127.0.0.1:${port}`;
  const subscribers = [overEvents(authority), overStream(authority), overWebSocket(authority)];
  subscribers.push(await overPolls({ server: world.server, port }));
  test.teardown(() => {
    for (const subscriber of subscribers) subscriber.close();
  });
  const count = async (): Promise<number | undefined> =>
    (await world.server.channels()).channels[0]?.subscribers;
  await until('all to have subscribed', async () => (await count()) === subscribers.length);
  // One by one, so that a buffering proxy would hold a message back.
  const texts = ['short', 'lines\nof it', 'x'.repeat(60_000), '日本語', 'end'];
  for (const [at, text] of texts.entries()) {
    await world.server.publish('a', text);
    for (const { name, seen } of subscribers) {
      await until(`message ${at} over ${name}`, () => seen.length > at);
    }
  }
  for (const { name, seen } of subscribers) test.strictSame(seen, texts, name);
}

t.test('every transport passes through nginx', { skip: without('nginx') }, async (t) => {
  const world = await startComet(t, { workers: 1 });
  const { port } = await startNginx(t, world.port);
  await tryProxy(t, world, port);
});

t.test('every transport passes through HAProxy', { skip: without('haproxy') }, async (t) => {
  const world = await startComet(t, { workers: 1 });
  const { port, running } = await startHaproxy(t, world.port);
  await tryProxy(t, world, port);
  t.notMatch(running.output, /DOWN/, 'its health check of the server is answered');
});
