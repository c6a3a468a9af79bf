// Clients with IPv6 addresses of their own, in a network namespace: those of one /64 are one client.
import t, { type Test } from 'tap';

import {
  AddressPeer,
  openIn,
  totalOf,
  TRANSPORTS,
  type Transport,
} from '../support/address-peer.js';
import { startComet, type World } from '../support/comet-world.js';
import { command, until } from '../support/helpers.js';
import { isInNamespace, runInNamespace } from '../support/own-namespace.js';
import { recordedLog } from '../support/recorded-log.js';

/** Of two networks that differ in their last bit. */
const NETWORK = ['2001:db8:0:6::1', '2001:db8:0:6::2', '2001:db8:0:6:ffff:ffff:ffff:ffff'] as const;
const NEIGHBOUR = ['2001:db8:0:7::1', '2001:db8:0:7::2'] as const;

/** Up to the limit from the addresses of one network; the next one is rejected. */
async function fillNetwork(
  t: Test,
  world: World,
  transport: Transport,
  addresses: readonly string[],
): Promise<AddressPeer[]> {
  const open = (from: string): AddressPeer => AddressPeer.request(t, world, { from, transport });
  const before = openIn(world);
  const peers = addresses.map(open);
  await until('its connections', () => openIn(world) === before + peers.length);
  for (const address of addresses) {
    const over = open(address);
    t.equal(await over.answer(), transport === 'sse' ? '200' : '429', address);
    t.match(over.text, transport === 'sse' ? /megacomet\.limited/ : /at most \d are allowed/);
  }
  return peers;
}

async function check(t: Test, transport: Transport): Promise<void> {
  const { lines, logger } = recordedLog();
  const world = await startComet(t, {
    ...{ host: '::', workers: 2, connectionsPerAddress: 3 },
    logger,
  });
  const [first] = await fillNetwork(t, world, transport, NETWORK);
  await until('a line', () =>
    lines.some(({ message }) =>
      message.startsWith(
        'clients of 2001:db8:0:6::/64 are rejected: --connections-per-address is 3',
      ),
    ),
  );
  await fillNetwork(t, world, transport, [...NEIGHBOUR, NEIGHBOUR[0]]);
  for (const from of ['127.0.0.2', '127.0.0.3']) {
    await fillNetwork(t, world, transport, [from, from, from]);
  }
  const full = openIn(world);
  await first?.close();
  await until('its close', () => openIn(world) === full - 1);
  AddressPeer.request(t, world, { from: NETWORK[1], transport });
  await until('another of its network', () => openIn(world) === full);
  t.equal(totalOf(world, 'limitedConnectionsTotal'), 12);
}

if (!isInNamespace()) {
  runInNamespace(t, import.meta.url);
} else {
  command('ip', 'link', 'set', 'lo', 'up');
  for (const address of [...NETWORK, ...NEIGHBOUR]) {
    command('ip', '-6', 'addr', 'add', `${address}/128`, 'dev', 'lo');
  }
  for (const transport of TRANSPORTS) {
    void t.test(`${transport}: addresses of one /64 share a limit`, (t) => check(t, transport));
  }
}
