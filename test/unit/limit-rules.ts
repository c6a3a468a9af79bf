// The limits of addresses by the options: `auto` means the same for each of them.
import t from 'tap';

import type { Address } from '../../lib/base/address.js';
import { parseNetwork } from '../../lib/base/address.js';
import { LimitFlag } from '../../lib/ipc/frames.js';
import { limitRules } from '../../lib/server/limit-rules.js';
import { fill } from '../../lib/server/server-options.js';

const { addresses, publicConnections, publicHandshakes } = LimitFlag;
const BOTH = publicConnections | publicHandshakes;

const at = (host: string): Address => ({ isUnix: host.startsWith('/'), host, port: 80 });

interface Row {
  readonly hosts?: readonly string[];
  readonly options?: object;
  readonly max?: number;
  readonly want: readonly [connections: number, handshakes: number, flags: number];
}

const PROXY = { trustedProxies: ['127.0.0.1'] };
const LOCAL = ['127.0.0.1', '127.8.9.1', '::1', '::ffff:127.0.0.1', '/run/push', '@push'];

const ROWS: Readonly<Record<string, Row>> = {
  'a public address': { want: [1000, 100, addresses | BOTH] },
  'an address of IPv4': { hosts: ['192.0.2.1'], want: [1000, 100, addresses | BOTH] },
  'one public address among others': {
    hosts: [...LOCAL.slice(0, 5), '::'],
    want: [1000, 100, addresses | BOTH],
  },
  'a large server': { max: 1_000_001, want: [50_001, 5001, addresses | BOTH] },
  'loopback and unix sockets alone': { hosts: LOCAL.slice(0, 5), want: [0, 0, BOTH] },
  'loopback behind a proxy': {
    hosts: ['127.0.0.1'],
    options: PROXY,
    want: [1000, 100, addresses | BOTH],
  },
  'a unix socket behind a proxy with PROXY headers': {
    hosts: ['/run/push'],
    options: { trustedProxies: ['unix'], proxyProtocol: true },
    want: [1000, 100, addresses | BOTH],
  },
  'connections given': {
    options: { connectionsPerAddress: 5000 },
    want: [5000, 500, addresses | publicHandshakes],
  },
  'few connections given': {
    options: { connectionsPerAddress: 5 },
    want: [5, 100, addresses | publicHandshakes],
  },
  'connections given, on loopback': {
    hosts: LOCAL.slice(0, 5),
    options: { connectionsPerAddress: 5000 },
    want: [5000, 0, addresses | publicHandshakes],
  },
  'connections given, behind a proxy': {
    hosts: ['127.0.0.1'],
    options: { ...PROXY, connectionsPerAddress: 5000 },
    want: [5000, 500, addresses | publicHandshakes],
  },
  'handshakes given': {
    options: { handshakesPerAddress: 7 },
    want: [1000, 7, addresses | publicConnections],
  },
  'handshakes given, on loopback': {
    hosts: ['127.0.0.1'],
    options: { handshakesPerAddress: 7 },
    want: [0, 7, addresses | publicConnections],
  },
  'both given': {
    options: { connectionsPerAddress: 9, handshakesPerAddress: 7 },
    want: [9, 7, addresses],
  },
  'no limit of connections': { options: { connectionsPerAddress: 0 }, want: [0, 0, BOTH] },
  'no limit of handshakes': {
    options: { handshakesPerAddress: 0 },
    want: [1000, 0, addresses | BOTH],
  },
  'no limit': {
    options: { connectionsPerAddress: 0, handshakesPerAddress: 0 },
    want: [0, 0, BOTH],
  },
};

t.test('each limit of addresses follows from its own option and the listeners', (t) => {
  for (const [name, row] of Object.entries(ROWS)) {
    const { hosts = ['::'], options = {}, max = 2000, want } = row;
    const rules = limitRules(fill({ protocol: 'comet', ...options }), hosts.map(at), max);
    const found = [rules.addressConnections, rules.addressHandshakeRate, rules.flags];
    t.same(found, want, name);
  }
  t.end();
});

t.test('the other limits, the proxies and the time of a header are passed on', (t) => {
  const options = {
    ...{ connectionsPerUser: 3, publishesPerUser: 4, commandsPerConnection: 5 },
    ...{ handshakeTimeout: 6, trustedProxies: ['10.0.0.0/8', 'unix'] },
  };
  const one = limitRules(fill({ protocol: 'comet', ...options }), [at('::')], 2000);
  t.match(one, {
    ...{ userConnections: 3, userPublishRate: 4, commandRate: 5, proxyTimeoutS: 6 },
    ...{ trusted: ['10.0.0.0/8', 'unix'], tables: 0 },
  });
  const other = limitRules(fill({ protocol: 'comet', ...options }), [at('::')], 2000);
  t.not(one.keyFirst, other.keyFirst, 'each server has a key of its own');
  t.not(one.keySecond, other.keySecond);
  t.end();
});

t.test('a trusted proxy is an address, a network, or unix', (t) => {
  for (const text of [
    ...['127.0.0.1', '10.0.0.0/8', '0.0.0.0/0', '1.2.3.4/32', '10.1.2.3/8', 'unix', '::/0'],
    ...['::1', 'fd00::/8', '2001:db8::1/128', '::ffff:10.0.0.0/104'],
  ]) {
    t.doesNotThrow(() => {
      parseNetwork('trusted-proxies', text);
    }, text);
  }
  for (const text of [
    ...['', '/', '/8', '10.0.0.0/', '10.0.0.0/33', '10.0.0.0/-1', '10.0.0.0/08', '10.0.0.0/8/8'],
    ...['10.0.0/8', '10.0.0.0 /8', ' 10.0.0.1', '10.0.0.1\n', '10.0.0.0/8.0', '10.0.0.0/+8'],
    ...['10.0.0.0/255.0.0.0', '256.0.0.1', '010.0.0.1', '0x7f.0.0.1', '127.1', '*', 'UNIX'],
    ...['::/129', '[::1]', 'fe80::1%eth0', '::1%lo/128', ':::', '::1/1e1', 'localhost', 'a.b/8'],
    ...['unix/8', 'unix:/run/push', '127.0.0.1:80', '1.2.3.4,5.6.7.8', '10.0.0.0-10.0.0.9'],
  ]) {
    t.throws(
      () => {
        parseNetwork('trusted-proxies', text);
      },
      { code: 'ERR_OPTION_INVALID', message: /^trusted-proxies: .* is not an address, a network/s },
      JSON.stringify(text),
    );
  }
  t.end();
});
