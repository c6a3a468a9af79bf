// A reconnect storm of the load generator in a test, with messages before, during and after it.
import type { Test } from 'tap';

import { runBench, type Held, type Transport } from '../../lib/bench/bench.js';
import type { TlsTarget } from '../../lib/bench/tls-target.js';
import type { World } from './comet-world.js';

/** Sixty subscribers of three channels reconnect, and each receives every message once. */
export async function reconnectSubscribers(
  t: Test,
  { server, port }: World,
  transport: Transport,
  tls: TlsTarget | null = null,
): Promise<void> {
  const subscribe = { channel: 'bench', private: false, channels: 3, since: '' };
  let expected = 0;
  const publish = async (number: number): Promise<string> => {
    expected += 20;
    return (await server.publish(`bench/${number % 3}`, 'x')).cursor;
  };
  const whileHeld = async (held: Held): Promise<void> => {
    let cursor = '';
    for (let number = 0; number < 3; number++) cursor = await publish(number);
    const areUpToDate = (): boolean => held.received() === expected;
    while (!areUpToDate()) await held.pass(10);
    held.reconnect(cursor);
    for (let number = 0; number < 30 || !held.isOpen(); number++) {
      await publish(number);
      await held.pass(10);
    }
    while (!areUpToDate()) await held.pass(10);
    await held.pass(500);
  };
  const result = await runBench(
    {
      targets: [{ isUnix: false, host: '127.0.0.1', port }],
      ...{ connections: 60, transport, subscribe, whileHeld, tls, rate: 0, processes: 2 },
      ...{ sources: [], hold: 0, verify: false, active: 0, messageSize: 1, duration: 1 },
      ...{ connectTimeout: 10, admin: '', serverPids: [], command: 'test' },
    },
    () => undefined,
    new AbortController().signal,
  );
  t.match(result, { opened: 60, failed: 0, failures: {} }, 'all subscribers reconnected');
  t.match(result.fanout, { received: expected, gaps: 0 }, 'each received every message once');
}
