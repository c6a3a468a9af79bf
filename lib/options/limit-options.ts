// The options of `serve` about proxies in front, and about the limits of one address, user or
// connection.
import { COUNT_MAX, type OptionSpec } from './option-spec.js';

/** Nanoseconds of one event must not round to 0. */
const RATE_MAX = 1_000_000;

export const LIMIT_OPTIONS = [
  {
    name: 'trusted-proxies',
    kind: 'list',
    item: 'network',
    value: 'CIDR',
    unset: 'none',
    help:
      'Address or network of the proxies in front, or unix for the unix sockets of --listen: their ' +
      'X-Forwarded-For, Forwarded and PROXY headers name the client, and their own address is not limited.',
  },
  {
    name: 'proxy-protocol',
    kind: 'listeners',
    value: 'ADDRESS',
    default: false,
    requires: { name: 'trusted-proxies', isSet: true },
    help:
      'Address of --listen whose connections begin with a PROXY header, version 1 or 2; without a value all ' +
      'addresses. Their peers that are not in --trusted-proxies are closed, because anybody can write such a ' +
      'header. It must be complete in --handshake-timeout.',
  },
  {
    name: 'connections-per-address',
    kind: 'integer',
    value: 'N',
    min: 0,
    max: COUNT_MAX,
    word: 'auto',
    default: 'auto',
    help:
      'Maximum number of connections of one IPv4 address or IPv6 /64. auto allows 5 % of ' +
      '--max-connections, at least 1000, because thousands of people share the address of a company or ' +
      'mobile carrier; it holds for public addresses alone, because a balancer has a private one. 0 means ' +
      'no limit.',
  },
  {
    name: 'handshakes-per-address',
    kind: 'integer',
    value: 'N',
    min: 0,
    max: RATE_MAX,
    word: 'auto',
    default: 'auto',
    help:
      'New connections per second of one IPv4 address or IPv6 /64, with bursts of one second. auto allows ' +
      'a tenth of --connections-per-address, at least 100, so that all clients of an address reconnect in ' +
      'ten seconds; it holds for public addresses alone. 0 means no limit.',
  },
  {
    name: 'connections-per-user',
    kind: 'integer',
    value: 'N',
    min: 0,
    max: COUNT_MAX,
    default: 0,
    protocol: 'comet',
    help:
      'Maximum number of connections of one user, the claim sub of the tokens. 0 means no limit, because a ' +
      'user may be a service with many connections.',
  },
  {
    name: 'publishes-per-user',
    kind: 'integer',
    value: 'N',
    min: 0,
    max: RATE_MAX,
    default: 0,
    protocol: 'comet',
    help:
      'Messages per second that one user may publish over all connections, with bursts of one second. 0 ' +
      'means no limit besides --client-publish-rate, because a user may be a service with many connections.',
  },
  {
    name: 'publishes-per-token',
    kind: 'integer',
    value: 'N',
    min: 0,
    max: RATE_MAX,
    default: 0,
    protocol: 'comet',
    help:
      'Messages per second that one token may publish, with bursts of one second: an admin token over ' +
      'HTTP, and a token of clients with the claim jti over all their WebSockets. 0 means no limit, because ' +
      'one back end may publish everything.',
  },
  {
    name: 'commands-per-connection',
    kind: 'integer',
    value: 'N',
    min: 0,
    max: RATE_MAX,
    default: 1000,
    protocol: 'comet',
    help:
      'Commands per second of one WebSocket, with bursts of one second, besides published messages, because ' +
      'all clients of a worker share its thread; an application sends far fewer than 1000. Hook requests of ' +
      'any connection count too. A client that goes on for twice as many is closed. 0 means no limit.',
  },
] as const satisfies readonly OptionSpec[];
