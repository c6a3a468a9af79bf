// --proxy-protocol with addresses: connections of these begin with a PROXY header, and those of the
// other addresses with their request.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import t, { type Test } from 'tap';

import { AddressPeer, openIn, requestOf, totalOf, TRANSPORTS } from '../support/address-peer.js';
import { Program, startComet, type World } from '../support/comet-world.js';
import { Command, freePort, until } from '../support/helpers.js';

const HEADER = 'PROXY TCP4 1.2.3.4 5.6.7.8 4711 80\r\n';

interface Pair {
  readonly world: World;
  /** The port whose connections begin with their request. */
  readonly direct: number;
  /** The port whose connections begin with a header. */
  readonly proxied: number;
}

async function startPair(t: Test, options: object = {}): Promise<Pair> {
  const direct = await freePort(2);
  const listen = [`127.0.0.1:${direct}`, `127.0.0.1:${direct + 1}`];
  const proxyProtocol = listen.slice(1);
  const rules = { trustedProxies: ['127.0.0.1'], workers: 1, listen, proxyProtocol };
  const world = await startComet(t, { ...rules, ...options });
  return { world, direct, proxied: direct + 1 };
}

/** The status that a port answers to these bytes, or `closed`. */
const statusOf = (t: Test, port: number, bytes: string, from?: string): Promise<string> =>
  new AddressPeer(t, port, bytes, from).answer();

for (const workers of [1, 2]) {
  t.test(`${workers} workers: one address takes headers, the other requests`, async (t) => {
    const { world, direct, proxied } = await startPair(t, { workers });
    for (const transport of TRANSPORTS) {
      const request = requestOf({ transport }).replace('channel=a', 'channel=a&timeout=0');
      const wanted = { poll: '204', websocket: '101' }[transport as string] ?? '200';
      t.equal(await statusOf(t, direct, request), wanted, `${transport}, no header`);
      t.equal(await statusOf(t, proxied, HEADER + request), wanted, `${transport}, header`);
      t.equal(await statusOf(t, direct, request, '127.0.0.9'), wanted, 'a peer without a proxy');
    }
    t.equal(
      await statusOf(t, direct, HEADER + requestOf({})),
      '400',
      'a header instead of a request',
    );
    t.equal(await statusOf(t, proxied, requestOf({})), 'closed', 'a request instead of a header');
    await until('its count', () => totalOf(world, 'closedProxyHeaderTotal') === 1);
    t.equal(totalOf(world, 'rejectedUntrustedTotal'), 0);
    t.equal(await statusOf(t, proxied, HEADER + requestOf({}), '127.0.0.9'), 'closed');
    await until('its count', () => totalOf(world, 'rejectedUntrustedTotal') === 1);
  });
}

t.test('echo: one address takes headers, the other echoes them', async (t) => {
  const { direct, proxied } = await startPair(t, { protocol: 'echo' });
  const plain = new AddressPeer(t, direct, `${HEADER}a`);
  await until('the header itself', () => plain.text === `${HEADER}a`);
  const named = new AddressPeer(t, proxied, `${HEADER}a`);
  await until('the bytes after it', () => named.text === 'a');
});

t.test('the clients of both addresses have one limit', async (t) => {
  const { world, direct, proxied } = await startPair(t, { connectionsPerAddress: 1 });
  const first = new AddressPeer(t, direct, requestOf({}), '127.0.0.7');
  t.equal(await first.answer(), '200');
  const header = 'PROXY TCP4 127.0.0.7 5.6.7.8 4711 80\r\n';
  t.equal(await statusOf(t, proxied, header + requestOf({ transport: 'poll' })), '429');
  await first.close();
  await until('its end', () => openIn(world) === 0);
  t.equal(await statusOf(t, proxied, header + requestOf({})), '200');
  const over = requestOf({ transport: 'poll' });
  t.equal(await statusOf(t, direct, over, '127.0.0.7'), '429');
});

t.test('a full server rejects the peers of both addresses, each in its form', async (t) => {
  const { world, direct, proxied } = await startPair(t, { maxConnections: 1 });
  const first = new AddressPeer(t, direct, requestOf({}));
  t.equal(await first.answer(), '200');
  // The answer to an EventSource shows that the request was found.
  const answers = [
    statusOf(t, direct, requestOf({})),
    statusOf(t, proxied, HEADER + requestOf({})),
    statusOf(t, direct, HEADER + requestOf({})),
    statusOf(t, proxied, HEADER + requestOf({ transport: 'poll' })),
  ];
  t.same(await Promise.all(answers), ['200', '200', '503', '503']);
  t.equal(openIn(world), 1);
});

t.test('without a value all addresses take headers, and with false none', async (t) => {
  for (const proxyProtocol of [true, false]) {
    const { direct, proxied } = await startPair(t, { proxyProtocol });
    for (const port of [direct, proxied]) {
      const wanted = proxyProtocol ? ['200', 'closed'] : ['400', '200'];
      t.equal(await statusOf(t, port, HEADER + requestOf({})), wanted[0], `${port}, header`);
      t.equal(await statusOf(t, port, requestOf({})), wanted[1], `${port}, no header`);
    }
  }
});

t.test('a unix socket takes headers, while a port takes requests', async (t) => {
  // Its path is short, which the address of a socket needs.
  const folder = mkdtempSync(join(tmpdir(), 'proxy-'));
  t.teardown(() => {
    rmSync(folder, { recursive: true });
  });
  const socketPath = join(folder, 's');
  const { world } = await startPair(t, {
    listen: ['127.0.0.1:0', `unix:${socketPath}`],
    proxyProtocol: [`unix:${socketPath}`],
    trustedProxies: ['unix'],
    connectionsPerAddress: 0,
    handshakesPerAddress: 0,
  });
  t.equal(await statusOf(t, world.port, requestOf({})), '200');
  const named = new AddressPeer(t, socketPath, HEADER + requestOf({}));
  t.equal(await named.answer(), '200');
  const bare = new AddressPeer(t, socketPath, requestOf({}));
  t.equal(await bare.answer(), 'closed');
});

t.test('a config file names the addresses, and a reload leaves them', async (t) => {
  const direct = await freePort(2);
  const listen = [`127.0.0.1:${direct}`, `127.0.0.1:${direct + 1}`];
  const config = join(t.testdir(), 'config.json');
  const write = (more: object): void => {
    const rules = { 'trusted-proxies': ['127.0.0.1'], 'proxy-protocol': listen.slice(1) };
    writeFileSync(config, JSON.stringify({ protocol: 'comet', listen, ...rules, ...more }));
  };
  write({});
  const { server } = await Program.start(t, {
    args: ['--workers', '1', '--config', config, ...listen.flatMap((one) => ['--listen', one])],
    expectLog: [/need a restart: proxy-protocol$/],
  });
  const check = async (name: string): Promise<void> => {
    t.equal(await statusOf(t, direct, requestOf({})), '200', name);
    t.equal(await statusOf(t, direct + 1, HEADER + requestOf({})), '200', name);
    t.equal(await statusOf(t, direct + 1, requestOf({})), 'closed', name);
  };
  await check('at the start');
  write({ 'idle-timeout': 100 });
  process.kill(server.pid, 'SIGHUP');
  await server.logged(/^configuration read again$/);
  await check('after a reload');
  write({ 'proxy-protocol': true });
  process.kill(server.pid, 'SIGHUP');
  await server.logged(/^changed options need a restart: proxy-protocol$/);
  await check('after a change');
});

t.test('an address that the server does not listen on is an error', async (t) => {
  const rule = 'is not an address that the server listens on, which are 127.0.0.1:0';
  const world = startPair(t, { listen: ['127.0.0.1:0'], proxyProtocol: ['127.0.0.1:1'] });
  const message = `proxy-protocol: "127.0.0.1:1" ${rule}`;
  await t.rejects(world, { code: 'ERR_OPTION_INVALID', message });
  const args = ['--listen', '127.0.0.1:0', '--trusted-proxies', '127.0.0.1'];
  const flags = ['--proxy-protocol', '127.0.0.1:0', '--proxy-protocol=127.0.0.2:0'];
  const command = new Command(['serve', ...args, ...flags]);
  t.equal((await command.ended).code, 2);
  t.match(command.stderr, `proxy-protocol: "127.0.0.2:0" ${rule}`);
});
