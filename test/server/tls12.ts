// Clients with TLS 1.2: the same service as with TLS 1.3, and their limit.
import { once } from 'node:events';
import { Agent, get } from 'node:https';
import { connect, type TLSSocket } from 'node:tls';
import t, { type Test } from 'tap';
import WebSocket from 'ws';

import { Authority, filesOf } from '../../bench/certificates.js';
import { TestServer, until } from '../support/helpers.js';

const AUTHORITY = new Authority();
const OLD = { ca: AUTHORITY.cert, maxVersion: 'TLSv1.2' } as const;

const start = (t: Test, ...args: readonly string[]): Promise<TestServer> =>
  TestServer.start(t, {
    args: ['--workers', '1', ...filesOf(t.testdir({}), AUTHORITY.certify()), ...args],
  });

async function open(
  server: TestServer,
  maxVersion: 'TLSv1.2' | 'TLSv1.3' = 'TLSv1.2',
): Promise<TLSSocket> {
  const socket = connect({ host: '127.0.0.1', port: server.port, ...OLD, maxVersion });
  await once(socket, 'secureConnect');
  socket.on('error', () => undefined);
  return socket;
}

/** Collects the bytes that a socket receives. */
function collect(socket: TLSSocket): { text: string } {
  const received = { text: '' };
  socket.on('data', (chunk: Buffer) => (received.text += chunk.toString('latin1')));
  return received;
}

t.test('TLS 1.2 is echoed, also to a slow reader, and only up to its limit', async (t) => {
  const server = await start(t, '--tls12-connections', '2');
  const socket = await open(server);
  t.equal(socket.getProtocol(), 'TLSv1.2');
  const received = collect(socket);
  socket.write('hello');
  await until('the echo', () => received.text === 'hello');

  socket.pause();
  const text = 'x'.repeat(16_000_000);
  socket.write(text);
  await until('a full queue', async () => (await server.total('sendQueueConnections')) === 1);
  socket.resume();
  await until('all of it', () => received.text.length === 5 + text.length);
  t.equal(received.text, `hello${text}`);
  t.equal(await server.total('sendQueueBytes'), 0);

  const second = await open(server);
  t.equal(await server.total('tls12Connections'), 2);
  await t.rejects(open(server), { code: 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION' });
  await server.untilTotal('tls12RejectedTotal', 1);
  const newer = await open(server, 'TLSv1.3');
  t.equal(newer.getProtocol(), 'TLSv1.3');
  const end = once(socket, 'close');
  socket.end();
  await end;
  await server.untilTotal('tls12Connections', 1);
  const third = await open(server);
  for (const other of [second, newer, third]) other.destroy();
  await server.untilTotal('connections', 0);
  t.equal(await server.total('tls12Connections'), 0);
  await server.stop();
});

t.test('every transport works over TLS 1.2, until the server closes it', async (t) => {
  const server = await start(t, '--protocol', 'comet', '--client-publish');
  const agent = new Agent({ ...OLD, keepAlive: true });
  const base = `https://127.0.0.1:${server.port}`;
  const texts = new Map<string, string>();
  const note = (path: string, text: string): void => {
    texts.set(path, (texts.get(path) ?? '') + text);
  };
  const ended: string[] = [];
  for (const path of ['events', 'stream', 'poll']) {
    get(`${base}/${path}?channel=a`, { agent }, (response) => {
      response.setEncoding('utf8').on('data', (part: string) => {
        note(path, part);
      });
      response.on('end', () => ended.push(path));
    });
  }
  const websocket = new WebSocket(`wss://127.0.0.1:${server.port}/ws?channel=a`, OLD);
  websocket.on('message', (data: Buffer) => {
    note('ws', data.toString());
  });
  websocket.on('close', (code) => ended.push(`ws ${code}`));
  await server.untilTotal('subscriptions', 4);
  t.equal(await server.total('tls12Connections'), 4);
  websocket.send(JSON.stringify({ type: 'publish', channel: 'a', data: 'hello' }));
  await until(
    'the message',
    () => [...texts.values()].filter((text) => /hello/.test(text)).length === 4,
  );
  await server.stop();
  await until('all to end', () => ended.length === 4);
  t.same(ended.sort(), ['events', 'poll', 'stream', 'ws 1001']);
  agent.destroy();
});
