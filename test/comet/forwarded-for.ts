// X-Forwarded-For and Forwarded: of trusted proxies they name the client, of others they do not.
import t, { type Test } from 'tap';

import {
  AddressPeer,
  openIn,
  requestOf,
  totalOf,
  TRANSPORTS,
  type PeerOptions,
} from '../support/address-peer.js';
import { startComet, type World } from '../support/comet-world.js';
import { until } from '../support/helpers.js';

const PROXY = '127.0.0.5';

function start(t: Test, options: object = {}): Promise<World> {
  return startComet(t, {
    workers: 1,
    trustedProxies: [PROXY, '10.0.0.0/8'],
    connectionsPerAddress: 2,
    ...options,
  });
}

const through = (fields: string, more: PeerOptions = {}): PeerOptions => ({
  from: PROXY,
  fields,
  ...more,
});

for (const workers of [1, 2]) {
  for (const transport of TRANSPORTS) {
    t.test(`${transport}, ${workers} workers: a trusted proxy names the client`, async (t) => {
      const world = await start(t, { workers });
      const open = (fields: string): AddressPeer =>
        AddressPeer.request(t, world, through(fields, { transport }));
      // 9.9.9.9, which the client wrote itself, does not count.
      const first = open('X-Forwarded-For: 9.9.9.9, 1.2.3.4\r\n');
      open('Forwarded: for=9.9.9.8, for="1.2.3.4:99";proto=http, for=10.0.0.7\r\n');
      await until('both', () => openIn(world) === 2);
      const over = open('X-Forwarded-For: 8.8.8.8, 1.2.3.4\r\n');
      t.equal(await over.answer(), transport === 'sse' ? '200' : '429');
      t.match(over.text, transport === 'sse' ? /event: megacomet\.limited/ : /Retry-After: \d+/);
      open('X-Forwarded-For: 1.2.3.4, 9.9.9.9\r\n');
      await until('another client', () => openIn(world) === 3);
      await first.close();
      await until('its close', () => openIn(world) === 2);
      open('X-Forwarded-For: 1.2.3.4\r\n');
      await until('its return', () => openIn(world) === 3);
      t.equal(totalOf(world, 'limitedConnectionsTotal'), 1);
      t.equal(totalOf(world, 'badRequestsLimitedTotal'), 1);
      t.equal(totalOf(world, 'badRequestsTotal'), 1);
    });

    t.test(
      `${transport}, ${workers} workers: the field of a peer that is not trusted is ignored`,
      async (t) => {
        const world = await start(t, { workers });
        const open = (index: number): AddressPeer =>
          AddressPeer.request(t, world, {
            from: '127.0.0.6',
            fields: `X-Forwarded-For: 1.1.1.${index}\r\nForwarded: for=1.1.1.${index}\r\n`,
            transport,
          });
        open(1);
        open(2);
        await until('both', () => openIn(world) === 2);
        t.equal(await open(3).answer(), transport === 'sse' ? '200' : '429');
        t.equal(totalOf(world, 'rejectedLimitedTotal'), 1, 'at its own address');
      },
    );
  }
}

t.test('a connection of a proxy serves one client after the other', async (t) => {
  const world = await start(t);
  const poll = (address: string): string =>
    requestOf({
      transport: 'poll',
      query: '&timeout=0',
      fields: `X-Forwarded-For: ${address}\r\n`,
    });
  const pooled = new AddressPeer(t, world.port, poll('1.2.3.4'), PROXY);
  for (let count = 1; count <= 10; count++) {
    await until('an answer', () => pooled.text.split('HTTP/1.1 2').length === count + 1);
    pooled.socket.write(poll(`1.2.3.${count % 3}`));
  }
  // Between two requests the connection counts for no client.
  for (const address of ['1.2.3.0', '1.2.3.0', '1.2.3.1', '1.2.3.1']) {
    AddressPeer.request(t, world, through(`X-Forwarded-For: ${address}\r\n`));
  }
  await until('all', () => openIn(world) === 5);
  t.equal(totalOf(world, 'limitedConnectionsTotal'), 0);
  const over = AddressPeer.request(
    t,
    world,
    through('X-Forwarded-For: 1.2.3.1\r\n', { transport: 'poll' }),
  );
  t.equal(await over.answer(), '429');
});

t.test('without a field, or with an unreadable one, the proxy itself is not limited', async (t) => {
  const world = await start(t);
  for (const fields of ['', '', '', 'X-Forwarded-For: unknown\r\n', 'Forwarded: for=_x\r\n']) {
    AddressPeer.request(t, world, through(fields));
  }
  await until('all', () => openIn(world) === 5);
  t.equal(totalOf(world, 'limitedConnectionsTotal'), 0);
});

t.test('a PROXY header names a proxy, whose field names the client', async (t) => {
  const world = await start(t, { proxyProtocol: true });
  const open = (address: string): AddressPeer =>
    AddressPeer.request(t, world, {
      from: PROXY,
      proxy: 'PROXY TCP4 10.0.0.7 10.0.0.8 1 2\r\n',
      fields: `X-Forwarded-For: ${address}\r\n`,
      transport: 'poll',
    });
  open('1.2.3.4');
  open('1.2.3.4');
  await until('both', () => openIn(world) === 2);
  t.equal(await open('1.2.3.4').answer(), '429');
  const other = AddressPeer.request(t, world, {
    from: PROXY,
    proxy: 'PROXY TCP4 5.6.7.8 10.0.0.8 1 2\r\n',
    fields: 'X-Forwarded-For: 1.2.3.4\r\n',
    transport: 'poll',
  });
  await until('a client that claims to be a proxy', () => openIn(world) === 3);
  t.equal(other.isClosed, false, 'it counts for itself');
});
