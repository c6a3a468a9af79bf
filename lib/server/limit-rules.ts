// How much an address, a user and a connection may take, as the workers get it.
import { randomBytes } from 'node:crypto';

import { isLoopback, type Address } from '../base/address.js';
import { LimitFlag, type Frames } from '../ipc/frames.js';
import type { Filled } from './server-options.js';

/** The share of all connections that one address may have: twenty addresses fill the server. */
const SHARE = 0.05;
/** Fewer would be too few for the people of one company, at any capacity of the machine. */
const CONNECTIONS_MIN = 1000;
/** All clients of an address reconnect within this time, after a restart of the server. */
const RECONNECT_S = 10;
const HANDSHAKES_MIN = 100;

interface AddressLimits {
  readonly connections: number;
  readonly handshakes: number;
}

/**
 * Each `auto` is off for a server that only this machine reaches, with any value of the other
 * option.
 */
function addressLimits(
  options: Filled,
  addresses: readonly Address[],
  maxConnections: number,
): AddressLimits {
  const { connectionsPerAddress, handshakesPerAddress, trustedProxies = [] } = options;
  const isPublic =
    trustedProxies.length > 0 || addresses.some(({ isUnix, host }) => !isUnix && !isLoopback(host));
  const share = Math.max(CONNECTIONS_MIN, Math.ceil(maxConnections * SHARE));
  const chosen = isPublic ? share : 0;
  const connections = connectionsPerAddress === 'auto' ? chosen : connectionsPerAddress;
  const rate = Math.max(HANDSHAKES_MIN, Math.ceil(connections / RECONNECT_S));
  const chosenRate = isPublic && connections > 0 ? rate : 0;
  const handshakes = handshakesPerAddress === 'auto' ? chosenRate : handshakesPerAddress;
  return { connections, handshakes };
}

/** The flags of the limits that do not hold for private addresses: those that no option gives. */
function publicOnly({ connectionsPerAddress, handshakesPerAddress }: Filled): number {
  const isGiven = (value: number | 'auto'): boolean => value !== 'auto' && value > 0;
  return (
    (isGiven(connectionsPerAddress) ? 0 : LimitFlag.publicConnections) |
    (isGiven(handshakesPerAddress) ? 0 : LimitFlag.publicHandshakes)
  );
}

/** The limits of a server that listens on these addresses, for its workers. */
export function limitRules(
  options: Filled,
  addresses: readonly Address[],
  maxConnections: number,
): Frames['Limits'] {
  const { connections, handshakes } = addressLimits(options, addresses, maxConnections);
  const flags = (connections > 0 || handshakes > 0 ? LimitFlag.addresses : 0) | publicOnly(options);
  // Secret: a client that knows it can choose addresses that share a row.
  const key = randomBytes(16);
  return {
    flags,
    tables: 0,
    keyFirst: key.readBigUInt64LE(0),
    keySecond: key.readBigUInt64LE(8),
    proxyTimeoutS: options.handshakeTimeout,
    addressConnections: connections,
    addressHandshakeRate: handshakes,
    userConnections: options.connectionsPerUser,
    userPublishRate: options.publishesPerUser,
    commandRate: options.commandsPerConnection,
    trusted: options.trustedProxies ?? [],
  };
}
