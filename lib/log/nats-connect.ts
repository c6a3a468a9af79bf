// Opens connections to NATS servers: login, TLS, and signs of a server that hangs.
import type { Authenticator, NatsConnection } from '@nats-io/transport-node';
import { createConnection } from 'node:net';

import { formatPeer, isLoopback, type Peer } from '../base/address.js';
import type { Patience } from './log.js';
import type { NatsAddress } from './nats-address.js';
import type { NatsModule } from './nats-module.js';

/** Read anew for each connection, because files change. */
export interface NatsLogin {
  /** With a user its password, without one a token. */
  readonly password: string | null;
  /** The content of a `.creds` file. */
  readonly credentials: string | null;
}

export interface NatsAccess {
  readonly login: () => NatsLogin;
  /** Certificates of the issuers as PEM; null for those of Node.js. */
  readonly ca: string | null;
}

/** A server that hangs is noticed after the third of these, before two seconds have passed. */
const PING_MS = 600;
const PINGS_OUT = 2;

/** The form of the file: a token, and the seed of its key. */
const CREDENTIALS = /-BEGIN NATS USER JWT-+\s+[\w.-]+\s[^]*-BEGIN USER NKEY SEED-+\s+\w{58}\s/;

function authenticatorOf(
  { core }: NatsModule,
  user: string | null,
  { password, credentials }: NatsLogin,
): Authenticator | undefined {
  if (credentials !== null) {
    if (!CREDENTIALS.test(credentials)) throw new Error('engine-credentials is not a .creds file');
    return core.credsAuthenticator(Buffer.from(credentials));
  }
  if (user !== null) return core.usernamePasswordAuthenticator(user, password ?? '');
  return password === null ? undefined : core.tokenAuthenticator(password);
}

/**
 * Waits for the first line of a NATS server. The library keeps the socket to a server that hangs open,
 * so each attempt would cost a descriptor.
 *
 * @throws Error with the reason.
 */
async function checkServer({ host, port }: Peer, patience: Patience): Promise<void> {
  const socket = createConnection({ host, port });
  try {
    await new Promise<void>((resolve, reject) => {
      socket.setTimeout(patience.reachMs, () => {
        reject(new Error('no answer in time'));
      });
      socket.once('connect', () => {
        socket.setTimeout(patience.answerMs);
      });
      socket.once('error', reject);
      socket.once('close', () => {
        reject(new Error('the server closed the connection'));
      });
      socket.once('data', (bytes) => {
        if (bytes.subarray(0, 5).toString() === 'INFO ') resolve();
        else reject(new Error('the answer is not of a NATS server'));
      });
    });
  } finally {
    socket.destroy();
  }
}

/** In a random order, so that nodes spread over the servers. */
function shuffled<T>(items: readonly T[]): T[] {
  return items
    .map((item) => ({ item, order: Math.random() }))
    .sort((a, b) => a.order - b.order)
    .map(({ item }) => item);
}

/**
 * Connects to one of the servers, in a random order; their names are looked up each time.
 *
 * @param patience - For each server.
 * @throws Error with the reason at the server that was tried last.
 */
export async function connectNats(
  module: NatsModule,
  { servers, user, isTls }: NatsAddress,
  { login, ca }: NatsAccess,
  patience: Patience,
): Promise<NatsConnection> {
  const found = login();
  const isLocal = servers.every(({ host }) => host === 'localhost' || isLoopback(host));
  if (found.password !== null && !isTls && !isLocal) {
    throw new Error('a password needs TLS to another machine: use tls://');
  }
  const authenticator = authenticatorOf(module, user, found);
  let reason: unknown = null;
  for (const server of shuffled(servers)) {
    // The library would check the certificate of a numeric address against the name localhost.
    const tls = { host: server.host, ...(ca === null ? {} : { ca }) };
    const options = {
      ...{ servers: [formatPeer(server)], timeout: patience.answerMs, name: 'megacomet-ts' },
      // Each connection is an object of its own, with names that were looked up anew.
      ...{ reconnect: false, ignoreClusterUpdates: true, noAsyncTraces: true },
      ...{ pingInterval: PING_MS, maxPingOut: PINGS_OUT, ...(isTls ? { tls } : {}) },
      ...(authenticator === undefined ? {} : { authenticator }),
    };
    try {
      await checkServer(server, patience);
      return await module.core.connect(options);
    } catch (error) {
      reason = error;
    }
  }
  throw reason;
}
