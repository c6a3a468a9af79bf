// Limits of addresses behind a real HAProxy and a real nginx, which name their clients.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import t, { type Test } from 'tap';

import { AddressPeer, openIn } from '../support/address-peer.js';
import { startComet, type World } from '../support/comet-world.js';
import { start, temporaryFolder } from '../support/examples.js';
import { freePort, until } from '../support/helpers.js';
import { recordedLog, type Line } from '../support/recorded-log.js';
import { NGINX_STREAMS, without } from '../support/requirements.js';

async function isReachable(t: Test, port: number): Promise<boolean> {
  const peer = new AddressPeer(t, port);
  await until('an answer', () => peer.isClosed || peer.socket.readyState === 'open');
  const isOpen = !peer.isClosed;
  await peer.close();
  return isOpen;
}

/** HAProxy in front of a port; returns its own. */
async function haproxy(t: Test, mode: 'http' | 'tcp', server: string): Promise<number> {
  const port = await freePort();
  const folder = temporaryFolder(t);
  const config = `global
    maxconn 100
defaults
    mode ${mode}
    ${mode === 'http' ? 'option forwardfor' : ''}
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen all
    bind 127.0.0.1:${port}
    server one ${server}
`;
  writeFileSync(join(folder, 'haproxy.cfg'), config);
  start(t, folder, ['haproxy', '-db', '-f', 'haproxy.cfg']);
  await until('HAProxy', () => isReachable(t, port));
  return port;
}

/** nginx in front of a port, over HTTP or as a stream; returns its own. */
async function nginx(t: Test, server: number, mode: 'http' | 'stream'): Promise<number> {
  const port = await freePort();
  const folder = temporaryFolder(t);
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${name};`,
  );
  const user = process.getuid?.() === 0 ? 'user root; ' : '';
  const site = {
    http: `http { access_log off; ${temporary.join(' ')} server { listen 127.0.0.1:${port};
      location / { proxy_pass http://127.0.0.1:${server}; proxy_buffering off;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; } } }`,
    stream: `stream { server { listen 127.0.0.1:${port}; proxy_protocol on;
      proxy_pass 127.0.0.1:${server}; } }`,
  }[mode];
  const modules = mode === 'stream' ? `load_module ${NGINX_STREAMS}; ` : '';
  const config = `${modules}${user}daemon off; pid nginx.pid; error_log stderr; events {} ${site}`;
  writeFileSync(join(folder, 'nginx.conf'), config);
  const command = ['nginx', '-p', folder, '-c', join(folder, 'nginx.conf'), '-e', 'stderr'];
  start(t, folder, command);
  await until('nginx', () => isReachable(t, port));
  return port;
}

interface LoggedWorld extends World {
  readonly lines: readonly Line[];
}

async function startWorld(t: Test, options: object): Promise<LoggedWorld> {
  const { lines, logger } = recordedLog();
  return { ...(await startComet(t, { ...options, logger })), lines };
}

/** Two connections of one client are open; the third one is rejected, and another client is served. */
async function check(t: Test, world: LoggedWorld, port: number): Promise<void> {
  const open = (from: string): AddressPeer =>
    AddressPeer.request(
      t,
      { ...world, port },
      { from, transport: 'stream', fields: 'X-Forwarded-For: 9.9.9.9\r\n' },
    );
  for (const from of ['127.0.0.2', '127.0.0.2', '127.0.0.3']) {
    t.equal(await open(from).answer(), '200', from);
  }
  const over = open('127.0.0.2');
  t.equal(await over.answer(), '429');
  t.match(over.text, /retry-after: \d+/i);
  t.equal(openIn(world) >= 3, true);
  const line = 'clients of 127.0.0.2 are rejected: --connections-per-address is 2';
  const messages = (): string[] => world.lines.map(({ message }) => message);
  await until('a line with the client', () => messages().includes(line));
  t.notMatch(messages().join('\n'), /127\.0\.0\.1 |9\.9\.9\.9/, 'and no other address');
}

const OPTIONS = { workers: 2, trustedProxies: ['127.0.0.1'], connectionsPerAddress: 2 };

for (const version of ['send-proxy', 'send-proxy-v2']) {
  t.test(`HAProxy with ${version} names the client`, { skip: without('haproxy') }, async (t) => {
    const world = await startWorld(t, { ...OPTIONS, proxyProtocol: true });
    const port = await haproxy(t, 'tcp', `127.0.0.1:${world.port} ${version}`);
    await check(t, world, port);
  });
}

t.test('HAProxy with forwardfor names the client', { skip: without('haproxy') }, async (t) => {
  const world = await startWorld(t, OPTIONS);
  await check(t, world, await haproxy(t, 'http', `127.0.0.1:${world.port}`));
});

t.test('nginx with X-Forwarded-For names the client', { skip: without('nginx') }, async (t) => {
  const world = await startWorld(t, OPTIONS);
  await check(t, world, await nginx(t, world.port, 'http'));
});

t.test(
  'nginx with proxy_protocol in a stream names the client',
  { skip: without('nginx streams') },
  async (t) => {
    const world = await startWorld(t, { ...OPTIONS, proxyProtocol: true });
    await check(t, world, await nginx(t, world.port, 'stream'));
  },
);

t.test('a health check of HAProxy (LOCAL) is served', { skip: without('haproxy') }, async (t) => {
  const world = await startWorld(t, { ...OPTIONS, proxyProtocol: true });
  const server = `127.0.0.1:${world.port} send-proxy-v2 check-send-proxy check inter 100ms`;
  const port = await haproxy(t, 'tcp', server);
  await until('checks', () => Number(world.server.stats().totals.acceptedTotal) >= 3);
  t.equal(Number(world.server.stats().totals.closedProxyHeaderTotal), 0);
  await check(t, world, port);
});
