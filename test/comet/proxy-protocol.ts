// The PROXY protocol before comet and echo: headers of trusted balancers, and everything else.
import { once } from 'node:events';

import t, { type Test } from 'tap';

import { AddressPeer, openIn, requestOf, totalOf, TRANSPORTS } from '../support/address-peer.js';
import { startComet, type World } from '../support/comet-world.js';
import { until } from '../support/helpers.js';

/** A header of version 1 for a client of this address. */
const line = (address: string): string =>
  `PROXY TCP${address.includes(':') ? 6 : 4} ${address} ${address} 4711 80\r\n`;

/** A header of version 2. */
function version2(command: number, family: number, body: Buffer): Buffer {
  const head = Buffer.from('\r\n\r\n\0\r\nQUIT\n\0\0\0\0', 'latin1');
  head.writeUInt8(command, 12);
  head.writeUInt8(family, 13);
  head.writeUInt16BE(body.length, 14);
  return Buffer.concat([head, body]);
}

const ipv4 = (address: string): Buffer => {
  const bytes = address.split('.').map(Number);
  return Buffer.from([...bytes, ...bytes, 1, 2, 3, 4]);
};

const TRUSTED = { proxyProtocol: true, trustedProxies: ['127.0.0.1'] };

function start(t: Test, options: object = {}): Promise<World> {
  return startComet(t, { workers: 1, ...TRUSTED, ...options });
}

for (const protocol of ['comet', 'echo'] as const) {
  t.test(`${protocol}: a header and the bytes after it in the same segment`, async (t) => {
    const world = await start(t, { protocol });
    const isEcho = protocol === 'echo';
    const text = isEcho ? 'hello' : requestOf({});
    const answer = isEcho ? /^hello$/ : /^HTTP\/1\.1 200 /;
    const tlv = Buffer.concat([ipv4('1.2.3.4'), Buffer.from('\x04\0\x03zzz', 'latin1')]);
    const headers = {
      'version 1': line('1.2.3.4'),
      'version 1, IPv6': line('2001:db8::1'),
      'version 1, mapped': line('::ffff:1.2.3.4'),
      'version 1, unknown': 'PROXY UNKNOWN\r\n',
      'version 2': version2(0x21, 0x11, ipv4('1.2.3.4')),
      'version 2 with extensions': version2(0x21, 0x11, tlv),
      'version 2, local': version2(0x20, 0, Buffer.alloc(0)),
      'version 2, unix': version2(0x21, 0x31, Buffer.alloc(216)),
      'version 2, unspecified': version2(0x21, 0, Buffer.alloc(3)),
    };
    for (const [name, header] of Object.entries(headers)) {
      const first = Buffer.concat([Buffer.from(header), Buffer.from(text)]);
      const peer = new AddressPeer(t, world.port, first);
      await until(name, () => answer.test(peer.text));
      const slow = new AddressPeer(t, world.port);
      await once(slow.socket, 'connect');
      slow.socket.setNoDelay(true);
      for (const byte of first) {
        slow.socket.write(Buffer.from([byte]));
        await new Promise((resolve) => setImmediate(resolve));
      }
      await until(`${name}, byte by byte`, () =>
        isEcho ? slow.text === 'hello' : answer.test(slow.text),
      );
    }
    t.equal(openIn(world), 2 * Object.keys(headers).length);
    t.equal(totalOf(world, 'inputBudgetBytes'), 0);
  });

  t.test(`${protocol}: a malformed or missing header closes the connection`, async (t) => {
    const world = await start(t, { protocol });
    const wrong = [
      'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
      'PROXY TCP4 1.2.3.4\r\n',
      `PROXY UNKNOWN ${'x'.repeat(100)}`,
      version2(0x21, 0x11, Buffer.alloc(4)),
      version2(0x21, 0x11, Buffer.alloc(5000)),
      version2(0x31, 0x11, ipv4('1.2.3.4')),
    ];
    for (const [index, first] of wrong.entries()) {
      const peer = new AddressPeer(t, world.port, first);
      await until('its end', () => peer.isClosed);
      t.equal(peer.text, '', 'it is not answered');
      await until('the count', () => totalOf(world, 'closedProxyHeaderTotal') === index + 1);
    }
    t.equal(openIn(world), 0);
  });

  t.test(`${protocol}: a peer that is not trusted is closed and counted`, async (t) => {
    const world = await start(t, { protocol });
    const peer = new AddressPeer(t, world.port, line('1.2.3.4'), '127.0.0.9');
    await until('its end', () => peer.isClosed);
    await until('the count', () => totalOf(world, 'rejectedUntrustedTotal') === 1);
    t.equal(totalOf(world, 'rejectedTotal'), 1);
    t.equal(totalOf(world, 'acceptedTotal'), 0);
  });
}

t.test('a second header is read as bytes of the client', async (t) => {
  const world = await start(t);
  const peer = new AddressPeer(t, world.port, line('1.2.3.4') + line('5.6.7.8') + requestOf({}));
  t.equal(await peer.answer(), '400');
});

t.test('a header that is not complete in time closes the connection', async (t) => {
  const world = await start(t, { handshakeTimeout: 1 });
  const silent = new AddressPeer(t, world.port);
  const slow = new AddressPeer(t, world.port, 'PROXY TCP4 1.2');
  await until('their ends', () => silent.isClosed && slow.isClosed);
  t.equal(totalOf(world, 'closedProxyHeaderTotal'), 2);
});

t.test('echo: a late header closes the connection, and one after a header stays', async (t) => {
  const world = await start(t, { protocol: 'echo' });
  const stays = new AddressPeer(t, world.port, `${line('1.2.3.4')}a`);
  const silent = new AddressPeer(t, world.port);
  await until('its end', () => silent.isClosed);
  t.equal(totalOf(world, 'closedProxyHeaderTotal'), 1);
  stays.socket.write('b');
  await until('the echo', () => stays.text === 'ab');
});

for (const workers of [1, 2]) {
  for (const transport of TRANSPORTS) {
    t.test(
      `${transport}, ${workers} workers: the address of the header has the limit`,
      async (t) => {
        const world = await start(t, { workers, connectionsPerAddress: 2 });
        const open = (address: string): AddressPeer =>
          AddressPeer.request(t, world, { proxy: line(address), transport });
        const first = open('1.2.3.4');
        open('::ffff:1.2.3.4');
        await until('its connections', () => openIn(world) === 2);
        const over = open('1.2.3.4');
        t.equal(await over.answer(), transport === 'sse' ? '200' : '429');
        t.match(over.text, transport === 'sse' ? /megacomet\.limited/ : /Retry-After: \d+/);
        open('1.2.3.5');
        await until('another address', () => openIn(world) === 3);
        await first.close();
        await until('its close', () => openIn(world) === 2);
        open('1.2.3.4');
        await until('its return', () => openIn(world) === 3);
        t.equal(totalOf(world, 'limitedConnectionsTotal'), 1);
        t.equal(totalOf(world, 'closedLimitedTotal'), 1);
      },
    );
  }
}

t.test('IPv6 addresses of one /64 count together', async (t) => {
  const world = await start(t, { connectionsPerAddress: 2 });
  const open = (address: string): AddressPeer =>
    AddressPeer.request(t, world, { proxy: line(address), transport: 'poll' });
  open('2001:db8:0:7::1');
  open('2001:db8:0:7:ffff::1');
  await until('both', () => openIn(world) === 2);
  t.equal(await open('2001:db8:0:7:1:2:3:4').answer(), '429');
  open('2001:db8:0:8::1');
  await until('the other network', () => openIn(world) === 3);
});

t.test('echo: a client over the limit is reset', async (t) => {
  const world = await start(t, { protocol: 'echo', connectionsPerAddress: 1 });
  const first = new AddressPeer(t, world.port, `${line('1.2.3.4')}a`);
  await until('the echo', () => first.text === 'a');
  const over = new AddressPeer(t, world.port, `${line('1.2.3.4')}a`);
  await until('its end', () => over.isClosed);
  t.equal(over.text, '');
  t.equal(totalOf(world, 'closedLimitedTotal'), 1);
});
