// One user with 10,000 connections on a whole server: presence, counts, limits, orders and revocation.
import { readFileSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';

import t from 'tap';

import { AddressPeer, openIn, totalOf } from '../support/address-peer.js';
import { Secret } from '../support/client-tokens.js';
import { startComet } from '../support/comet-world.js';
import { until } from '../support/helpers.js';

const CONNECTIONS = 10_000;
/** Connections that open at the same time; fewer than the queue of a listening socket. */
const BATCH = 200;
/** Both ends of each are in this process and its workers. */
const FILES = CONNECTIONS + 1000;

const files = Number(/Max open files\s+(\d+)/.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]);
const skip = files < FILES && `needs ${FILES} open files`;

function open(port: number, request: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(port, '127.0.0.1');
    socket.on('error', reject);
    socket.once('data', () => {
      resolve(socket);
    });
    socket.write(request);
  });
}

t.test('a user with 10,000 connections', { skip }, async (t) => {
  const secret = new Secret(t);
  const world = await startComet(t, {
    ...{ workers: 2, maxConnections: CONNECTIONS + 500, tokenKey: [secret.option] },
    ...{ connectionsPerUser: CONNECTIONS, adminPort: 0, adminToken: 'of-the-service-alone' },
  });
  const { server } = world;
  const query = (user: string): string =>
    `&token=${secret.token({ sub: user, info: { of: user }, grants: { subscribe: ['a'] } })}`;
  const request = `GET /stream?channel=a${query('ada')} HTTP/1.1\r\nHost: a\r\n\r\n`;
  const sockets: Socket[] = [];
  let ended = 0;
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
  });
  while (sockets.length < CONNECTIONS) {
    const batch = Array.from({ length: BATCH }, () => open(world.port, request));
    sockets.push(...(await Promise.all(batch)));
  }
  for (const socket of sockets) {
    socket.removeAllListeners('error');
    socket.on('error', () => undefined).on('close', () => ended++);
  }
  const bob = AddressPeer.request(t, world, { query: query('bob') });
  await until('all', async () => (await server.presence('a')).subscribers === CONNECTIONS + 1);

  const presence = await server.presence('a', CONNECTIONS + 1);
  t.match(presence, { users: 2, isComplete: true });
  const members = [...presence.members].sort((one, other) => other.names.length - one.names.length);
  t.match(members, [{ user: 'ada', info: { of: 'ada' } }, { user: 'bob' }]);
  t.equal(new Set(members[0]?.names).size, CONNECTIONS, 'each connection has a name of its own');
  const headers = { authorization: 'Bearer of-the-service-alone' };
  const url = `http://127.0.0.1:${server.adminPort}/presence?channel=a`;
  const page = (await (await fetch(url, { headers })).json()) as object;
  t.match(page, { subscribers: CONNECTIONS + 1, users: 2 });

  const over = AddressPeer.request(t, world, { transport: 'poll', query: query('ada') });
  t.equal(await over.answer(), '429', 'one more');
  t.equal(totalOf(world, 'limitedUsersTotal'), 1);
  t.equal((await server.publish('a', 'x')).delivered, CONNECTIONS + 1);

  await server.disconnect({ user: 'ada' });
  await until('their ends', () => ended === CONNECTIONS);
  await until('the counts', async () => (await server.presence('a')).subscribers === 1);
  t.equal(openIn(world), 1, 'another user stays');
  t.equal(bob.isClosed, false);
  const again = AddressPeer.request(t, world, { transport: 'stream', query: query('ada') });
  t.equal(await again.answer(), '200', 'the limit has room');
  await server.revoke({ user: 'ada' });
  await until('its end', () => again.isClosed);
  t.equal(await AddressPeer.request(t, world, { query: query('ada') }).answer(), '401');
});
