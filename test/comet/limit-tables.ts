// The counting of addresses and users itself: rates, warnings, workers that die, and storms.
import { once } from 'node:events';

import t, { type Test } from 'tap';

import { AddressPeer, openIn, totalOf } from '../support/address-peer.js';
import { Secret } from '../support/client-tokens.js';
import { Program, startComet, type World } from '../support/comet-world.js';
import { until } from '../support/helpers.js';

const ADDRESS = '127.0.0.2';

function open(t: Test, world: World, from = ADDRESS): AddressPeer {
  return AddressPeer.request(t, world, { from, transport: 'poll' });
}

for (const workers of [1, 2]) {
  t.test(`${workers} workers: an address has its handshakes per second`, async (t) => {
    const world = await startComet(t, { workers, handshakesPerAddress: 10 });
    const peers = Array.from({ length: 60 }, () => open(t, world));
    await until('all answers', () => openIn(world) + totalOf(world, 'rejectedTotal') === 60);
    const kept = openIn(world);
    t.ok(kept >= 10 && kept < 50, `${kept} were accepted`);
    t.equal(totalOf(world, 'limitedHandshakesTotal'), 60 - kept);
    const answered = await until('an answer', () => peers.find(({ status }) => status === '429'));
    t.match(
      answered.text,
      /too many handshakes from this address: at most 10 a second are allowed; retry later/,
    );
    open(t, world, '127.0.0.3');
    await until('the other address', () => openIn(world) === kept + 1);
  });
}

t.test('a number of connections turns the rate on for public addresses alone', async (t) => {
  const world = await startComet(t, {
    ...{ workers: 1, proxyProtocol: true, trustedProxies: ['127.0.0.1'] },
    connectionsPerAddress: 400,
  });
  // The rate that the server chooses is 100 per second, with bursts of one second.
  const burst = (address: string, count: number): void => {
    for (let n = 0; n < count; n++) {
      const proxy = `PROXY TCP4 ${address} ${address} 4711 80\r\n`;
      AddressPeer.request(t, world, { proxy, transport: 'poll' });
    }
  };
  const inside = ['127.0.0.9', '10.1.2.3', '192.168.1.1'];
  for (const [index, address] of inside.entries()) {
    burst(address, 300);
    await until(address, () => openIn(world) === (index + 1) * 300);
  }
  t.equal(totalOf(world, 'limitedHandshakesTotal'), 0, 'private addresses have no rate');
  burst('10.1.2.3', 101);
  await until('the limit', () => totalOf(world, 'limitedConnectionsTotal') === 1);
  await until('a rate', () => {
    burst('8.8.8.8', 50);
    return totalOf(world, 'limitedHandshakesTotal') > 0;
  });
});

t.test('a worker that dies leaves no count behind', async (t) => {
  const secret = new Secret(t);
  const world = await startComet(t, {
    workers: 2,
    connectionsPerAddress: 6,
    connectionsPerUser: 6,
    tokenKey: [secret.option],
  });
  const token = secret.token({ sub: 'ada', grants: { subscribe: ['a'] } });
  const stream = (): AddressPeer =>
    AddressPeer.request(t, world, {
      from: ADDRESS,
      transport: 'stream',
      query: `&token=${token}`,
    });
  const peers = Array.from({ length: 6 }, stream);
  await until('all connections', () => openIn(world) === 6);
  const victim = world.server.stats().workers.find(({ connections }) => Number(connections) > 0);
  process.kill(victim?.pid ?? -1, 'SIGKILL');
  const lost = Number(victim?.connections);
  await until('their ends', () => peers.filter(({ isClosed }) => isClosed).length === lost);
  // Clients are rejected until the workers have counted again.
  for (let returned = 0; returned < lost;) {
    if ((await stream().answer()) === '200') returned++;
  }
  t.equal(await stream().answer(), '429', 'and the limit holds');
});

t.test('an address with many of the connections is logged', async (t) => {
  const program = await Program.start(t, {
    args: [
      ...['--workers', '1', '--connections-per-address', '1000'],
      ...['--handshakes-per-address', '0'],
    ],
    expectLog: [
      /^127\.0\.0\.2 has 100 of \d+ connections; if it is a proxy, set --trusted-proxies$/,
    ],
  });
  for (let count = 0; count < 150; count++) {
    const peer = new AddressPeer(t, program.port, '', ADDRESS);
    await once(peer.socket, 'connect');
  }
  await until('the line', () => program.server.log.some(({ msg }) => msg.startsWith(ADDRESS)));
  const lines = program.server.log.filter(({ msg }) => msg.startsWith(ADDRESS));
  t.equal(lines.length, 1, 'once');
});

t.test('a storm of rejected peers does not delay other clients', async (t) => {
  const world = await startComet(t, { workers: 1, connectionsPerAddress: 2 });
  open(t, world);
  open(t, world);
  await until('its connections', () => openIn(world) === 2);
  let isOver = false;
  const storm = async (): Promise<void> => {
    while (!isOver) {
      const peer = open(t, world);
      await until('its end', () => peer.isClosed || peer.status !== '' || isOver);
      peer.socket.destroy();
    }
  };
  const storms = Array.from({ length: 30 }, storm);
  await until('the storm', () => totalOf(world, 'limitedConnectionsTotal') > 100);
  for (let count = 0; count < 20; count++) {
    const other = AddressPeer.request(t, world, {
      from: '127.0.0.3',
      transport: 'poll',
      query: '&timeout=0',
    });
    t.equal(await other.answer(), '204');
    await other.close();
  }
  isOver = true;
  await Promise.all(storms);
  t.equal(totalOf(world, 'acceptPausedTotal'), 0, 'and no listener paused');
});
