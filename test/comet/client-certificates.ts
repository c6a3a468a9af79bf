// Clients with certificates: a certificate's subject is the user of its connections, beneath the
// tokens of their requests.
import { connect, type TLSSocket } from 'node:tls';
import t, { type Test } from 'tap';

import type { ServerOptions } from '../../lib/index.js';
import { Authority, type ServerCertificate } from '../../bench/certificates.js';
import { Secret } from '../support/client-tokens.js';
import { startComet, type World } from '../support/comet-world.js';
import { until } from '../support/helpers.js';
import { handshake } from '../support/websocket-peer.js';

const AUTHORITY = new Authority();
/** Of the clients' certificates. */
const ISSUER = new Authority();
const ALICE = ISSUER.certifyClient('alice');
const TRANSPORTS = ['/events', '/stream', '/poll', '/ws'] as const;

function start(t: Test, options: ServerOptions = {}): Promise<World> {
  const { cert, key } = AUTHORITY.certify();
  const tls = { tlsCert: cert, tlsKey: Buffer.from(key), tlsClientCa: ISSUER.cert };
  return startComet(t, { ...tls, ...options });
}

class Peer {
  readonly #socket: TLSSocket;
  text = '';
  error = '';
  isClosed = false;

  constructor(t: Test, port: number, certificate: Partial<ServerCertificate>) {
    this.#socket = connect({ host: '127.0.0.1', port, ca: AUTHORITY.cert, ...certificate });
    this.#socket.setEncoding('latin1').on('data', (text: string) => (this.text += text));
    this.#socket.on('error', ({ message }: Error) => (this.error = message));
    this.#socket.on('close', () => (this.isClosed = true));
    t.teardown(() => {
      this.#socket.destroy();
    });
  }

  get(target: string): this {
    const isWebSocket = target.startsWith('/ws');
    this.#socket.write(
      isWebSocket ? handshake(target) : `GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`,
    );
    return this;
  }
}

const open = (t: Test, { port }: World, certificate: Partial<ServerCertificate> = ALICE): Peer =>
  new Peer(t, port, certificate);

function total({ server }: World, name: 'closedCertificateTotal' | 'subscriptions'): number {
  return server.stats().workers.reduce((sum, worker) => sum + Number(worker[name]), 0);
}

const openIn = (world: World): number => total(world, 'subscriptions');

/** The users of channel a, in order. */
async function usersOf({ server }: World): Promise<readonly string[]> {
  const { members } = await server.presence('a');
  return members.map(({ user }) => user).sort();
}

t.test('a client without a certificate of the issuer is rejected', async (t) => {
  const world = await start(t);
  for (const [name, certificate] of [
    ['none', {}],
    ['of another issuer', AUTHORITY.certifyClient('alice')],
    ['expired', ISSUER.certifyClient('alice', Date.now() - 1000)],
  ] as const) {
    const peer = open(t, world, certificate).get('/events?channel=a');
    await until(name, () => peer.isClosed);
    t.equal(peer.text, '', name);
    t.match(peer.error, /alert/, peer.error);
  }
  const good = open(t, world).get('/events?channel=a');
  await until('the response', () => good.text.includes('HTTP/1.1 200 OK'));
});

t.test('the subject is the user on every transport, and can be disconnected', async (t) => {
  const world = await start(t);
  const peers = TRANSPORTS.map((path) => open(t, world).get(`${path}?channel=a`));
  const bob = open(t, world, ISSUER.certifyClient('Bö\\b, x')).get('/events?channel=a');
  await until('all to subscribe', () => openIn(world) === peers.length + 1);
  t.strictSame(await usersOf(world), ['CN=Bö\\\\b\\, x', 'CN=alice']);
  await world.server.disconnect({ user: 'CN=alice' });
  await until('their end', () => openIn(world) === 1);
  t.equal(bob.isClosed, false);
  t.strictSame(await usersOf(world), ['CN=Bö\\\\b\\, x']);
});

t.test(
  'a revoked user is rejected with the same certificate, and accepted with a new one',
  async (t) => {
    const world = await start(t);
    const peer = open(t, world).get('/events?channel=a');
    await until('the subscription', () => openIn(world) === 1);
    await world.server.revoke({ user: 'CN=alice' });
    await until('its end', () => peer.isClosed);
    const again = open(t, world).get('/events?channel=a');
    await until('the rejection', () => again.isClosed);
    t.equal(again.text, '');
    t.match(again.error, /access denied/);
    await until('the counter', () => total(world, 'closedCertificateTotal') === 1);
  },
);

t.test(
  'a subject that is too long for a user is rejected with an alert, and counted',
  async (t) => {
    const world = await start(t);
    const longest = open(t, world, ISSUER.certifyClient('x'.repeat(197))).get('/events?channel=a');
    await until('the subscription', () => openIn(world) === 1);
    const peer = open(t, world, ISSUER.certifyClient('x'.repeat(198))).get('/events?channel=a');
    await until('the rejection', () => peer.isClosed);
    t.match(peer.error, /access denied/);
    await until('the counter', () => total(world, 'closedCertificateTotal') === 1);
    t.equal(longest.isClosed, false);
  },
);

t.test('a connection ends with its certificate', async (t) => {
  const world = await start(t);
  const endsAtMs = Date.now() + 3000;
  const peer = open(t, world, ISSUER.certifyClient('alice', endsAtMs)).get('/events?channel=a');
  await until('the subscription', () => openIn(world) === 1);
  await until('the end', () => peer.isClosed);
  t.ok(Date.now() < endsAtMs + 60_000);
});

t.test('the token of a request counts in place of the certificate, for that request', async (t) => {
  const secret = new Secret(t);
  const world = await start(t, { tokenKey: [secret.option] });
  const peer = open(t, world).get('/poll?timeout=0&channel=a');
  await until('the rejection', () => peer.text.includes('HTTP/1.1 403 '));
  const token = secret.token({ sub: 'carol', grants: { subscribe: ['a'] } });
  peer.get(`/poll?timeout=0&channel=a&token=${token}`);
  await until('the answer', () => peer.text.includes('HTTP/1.1 204 '));
  peer.text = '';
  peer.get('/poll?timeout=0&channel=a');
  await until('the next rejection', () => peer.text.includes('HTTP/1.1 403 '));
  const stream = open(t, world).get(`/events?channel=a&token=${token}`);
  await until('the subscription', () => stream.text.includes('megacomet.subscribed'));
  t.strictSame(await usersOf(world), ['carol']);
});

t.test('a user has at most as many connections as allowed, in every worker', async (t) => {
  const world = await start(t, { connectionsPerUser: 2 });
  const peers = [1, 2].map(() => open(t, world).get('/events?channel=a'));
  await until('two', () => openIn(world) === 2);
  const third = open(t, world).get('/events?channel=a');
  await until('the rejection', () => third.isClosed);
  const other = open(t, world, ISSUER.certifyClient('bob')).get('/events?channel=a');
  await until('another user', () => openIn(world) === 3);
  t.same(
    [...peers, other].filter(({ isClosed }) => isClosed),
    [],
  );
});

t.test('a file of issuers must have certificates of issuers', async (t) => {
  const { cert, key } = AUTHORITY.certify();
  for (const [ca, rule] of [
    [cert, /tlsClientCa|tls-client-ca: issuer 1 has a certificate that is not one of an issuer/],
    ['-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----', /a damaged certificate/],
    ['-----BEGIN PUBLIC KEY-----', /has no certificate as PEM/],
    ['/nowhere/ca.pem', /cannot be read \(ENOENT\)/],
  ] as const) {
    await t.rejects(startComet(t, { tlsCert: cert, tlsKey: key, tlsClientCa: ca }), {
      code: 'ERR_OPTION_INVALID',
      message: rule,
    });
  }
});
