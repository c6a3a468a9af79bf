// Limits of one address: connections and handshakes, on every transport and with several workers.
import t from 'tap';

import { AddressPeer, openIn, totalOf, TRANSPORTS } from '../support/address-peer.js';
import { startComet } from '../support/comet-world.js';
import { until } from '../support/helpers.js';

/** Connections of one address. */
const LIMIT = 4;

for (const workers of [1, 2]) {
  for (const transport of TRANSPORTS) {
    t.test(`${transport}, ${workers} workers: an address has its connections`, async (t) => {
      const world = await startComet(t, { workers, connectionsPerAddress: LIMIT });
      const open = (from: string): AddressPeer =>
        AddressPeer.request(t, world, { from, transport });
      const first = Array.from({ length: LIMIT }, () => open('127.0.0.2'));
      await until('its connections', () => openIn(world) === LIMIT);
      const over = open('127.0.0.2');
      t.equal(await over.answer(), transport === 'sse' ? '200' : '429');
      if (transport === 'sse') {
        t.match(over.text, /retry: (\d{4,5})\r?\n/);
        t.match(over.text, /event: megacomet\.limited\n/);
      } else {
        t.match(over.text, /Retry-After: \d+\r\n/);
        t.match(
          over.text,
          /too many connections from this address: at most 4 are allowed; retry later/,
        );
      }
      await until('its end', () => over.isClosed);
      const other = open('127.0.0.3');
      await until('the other address', () => openIn(world) === LIMIT + 1);
      t.equal(other.isClosed, false);
      await first[0]?.close();
      await until('its close', () => openIn(world) === LIMIT);
      const again = open('127.0.0.2');
      await until('its return', () => openIn(world) === LIMIT + 1);
      t.equal(again.isClosed, false);
      t.equal(totalOf(world, 'limitedConnectionsTotal'), 1);
      t.equal(totalOf(world, 'rejectedLimitedTotal'), 1);
      t.equal(totalOf(world, 'rejectedTotal'), 1);
    });
  }
}
