// The address about which an application is asked: that of the client, also behind trusted proxies.
import { request as httpRequest } from 'node:http';
import { dirname, join } from 'node:path';

import t, { type Test } from 'tap';

import { createServer, type ServerOptions } from '../../lib/index.js';
import {
  AddressPeer,
  requestOf,
  TRANSPORTS,
  type PeerOptions,
  type Transport,
} from '../support/address-peer.js';
import { startComet, type World } from '../support/comet-world.js';
import { until } from '../support/helpers.js';
import { answer, HookServer } from '../support/hook-server.js';
import { frame, TEXT } from '../support/websocket-peer.js';

const PROXY = '127.0.0.5';
const PROXIES = [PROXY, '10.0.0.0/8'];
const line = (from: string): string =>
  `PROXY TCP${from.includes(':') ? 6 : 4} ${from} ${from} 4711 80\r\n`;
const fields = (from: string): string => `X-Forwarded-For: 9.9.9.9, ${from}\r\n`;

interface HookWorld extends World {
  readonly hook: HookServer;
}

async function start(t: Test, options: ServerOptions): Promise<HookWorld> {
  const hook = await HookServer.start(t);
  hook.behaviour = answer({ allow: true, grants: { subscribe: ['a'] } });
  const world = await startComet(t, { workers: 1, ...hook.options, ...options });
  return { ...world, hook };
}

/**
 * The addresses of the hook requests about a client that sends a request and, over a WebSocket, a
 * command.
 */
async function addresses(t: Test, world: HookWorld, options: PeerOptions): Promise<string> {
  world.hook.asked.length = 0;
  const peer = AddressPeer.request(t, world, options);
  await until('a hook request', () => world.hook.asked.length === 1);
  await until('the response', () => peer.text.includes('\r\n\r\n') || options.transport === 'poll');
  if (options.transport === 'websocket') {
    peer.socket.write(frame(TEXT, '{"type":"subscribe","channel":"b"}'));
    await until('the next hook request', () => world.hook.asked.length === 2);
  }
  await peer.close();
  return [...new Set(world.hook.asked.map(({ address }) => address))].join();
}

/** The header of a proxy at an address, and the address in the hook request. */
const NAMED: readonly (readonly [string, string, string])[] = [
  [PROXY, fields('2001:db8::1, 10.0.0.9'), '2001:db8::1'],
  [PROXY, fields('::ffff:1.2.3.5'), '1.2.3.5'],
  [PROXY, 'Forwarded: for="[2001:db8::2]:99"\r\n', '2001:db8::2'],
  [PROXY, fields('unknown'), PROXY],
  [PROXY, '', PROXY],
  ['127.0.0.6', fields('1.2.3.4'), '127.0.0.6'],
];

t.test('behind proxies that name the client in a field, on every transport', async (t) => {
  const world = await start(t, { trustedProxies: PROXIES });
  const through = (from: string, text: string, transport: Transport): Promise<string> =>
    addresses(t, world, { transport, from, fields: text });
  for (const [from, text, wanted] of NAMED) {
    t.equal(await through(from, text, 'sse'), wanted, `${from}: ${text}`);
  }
  for (const transport of TRANSPORTS) {
    t.equal(await through(PROXY, fields('1.2.3.4'), transport), '1.2.3.4', transport);
    const next = await through('127.0.0.7', '', transport);
    t.equal(next, '127.0.0.7', 'the next client on the same descriptor');
  }
});

t.test('a connection of a proxy has the address of each request', async (t) => {
  const world = await start(t, { trustedProxies: PROXIES });
  world.hook.behaviour = answer({ allow: true, channels: ['a'] });
  const poll = (text: string): string =>
    requestOf({ transport: 'poll', query: '&timeout=0', fields: text });
  const pooled = new AddressPeer(t, world.port, '', PROXY);
  const named = [fields('1.2.3.4'), '', fields('1.2.3.5'), fields('1.2.3.6'), ''];
  for (const [index, text] of named.entries()) {
    pooled.socket.write(poll(text));
    await until('a response', () => pooled.text.split('HTTP/1.1 204').length === index + 2);
  }
  const wanted = ['1.2.3.4', PROXY, '1.2.3.5', '1.2.3.6', PROXY];
  t.same(
    world.hook.asked.map(({ address }) => address),
    wanted,
  );
});

t.test('behind proxies that send a PROXY header, on every transport', async (t) => {
  const trustedProxies = ['127.0.0.1', '10.0.0.0/8'];
  const world = await start(t, { proxyProtocol: true, trustedProxies });
  const after = (proxy: string, text = '', transport: Transport = 'sse'): Promise<string> =>
    addresses(t, world, { transport, proxy, fields: text });
  for (const transport of TRANSPORTS) {
    t.equal(await after(line('1.2.3.4'), '', transport), '1.2.3.4', transport);
  }
  t.equal(await after('PROXY UNKNOWN\r\n'), '127.0.0.1', 'a proxy without a client address');
  t.equal(await after(line('127.0.0.9')), '127.0.0.9', 'an address that no limit counts');
  t.equal(await after(line('2001:db8::1')), '2001:db8::1');
  t.equal(await after(line('1.2.3.4'), fields('5.6.7.8')), '1.2.3.4', 'a client that lies');
  t.equal(await after(line('10.0.0.9'), fields('5.6.7.8')), '5.6.7.8', 'a proxy behind the first');
});

for (const connectionsPerAddress of ['auto', 0] as const) {
  t.test(`behind a proxy on a unix socket, ${connectionsPerAddress} connections`, async (t) => {
    const hook = await HookServer.start(t);
    // Its folder has a short path, which the address of a socket needs.
    const socketPath = join(dirname(hook.secretFile), 'public.sock');
    const rules = { trustedProxies: ['unix'], connectionsPerAddress };
    const options = { ...hook.options, listen: [`unix:${socketPath}`], ...rules };
    const server = createServer({ workers: 1, maxConnections: 100, protocol: 'comet', ...options });
    t.teardown(() => server.close());
    await server.listen();
    for (const headers of [{ 'X-Forwarded-For': '1.2.3.4' }, {}]) {
      const before = hook.about('connect').length;
      const request = httpRequest({ socketPath, path: '/poll?channel=a&timeout=0', headers });
      request.on('error', () => undefined).end();
      await until('a hook request', () => hook.about('connect').length > before);
      request.destroy();
    }
    t.same(
      hook.about('connect').map(({ address }) => address),
      ['1.2.3.4', ''],
    );
  });
}
