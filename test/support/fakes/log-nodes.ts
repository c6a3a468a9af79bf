// Brokers that share one log in memory, as the nodes of a cluster do.
import type { Test } from 'tap';

import { Broker } from '../../../lib/broker/broker.js';
import type { BrokerOptions } from '../../../lib/broker/broker-options.js';
import type { Log } from '../../../lib/log/log.js';
import { brokerOptions } from '../../../lib/server/broker-options.js';
import { fill } from '../../../lib/server/server-options.js';
import { MemoryLog, MemoryStore } from '../memory-log.js';
import { FakePort } from './comet.js';

export interface FakeNode {
  readonly name: string;
  readonly broker: Broker;
  /** The control stream of its only worker. */
  readonly port: FakePort;
}

export interface NodeOptions extends Partial<BrokerOptions> {
  /** Whether the node ticks and asks the others; default true. */
  readonly isShared?: boolean;
  /** Another log than one in memory. */
  readonly log?: Log;
}

/** Starts a node, which closes at the end of the test. */
export async function startNode(
  t: Test,
  store: MemoryStore,
  name: string,
  { isShared = true, log = new MemoryLog(store), ...options }: NodeOptions = {},
): Promise<FakeNode> {
  const broker = new Broker(
    { ...brokerOptions(1, fill({})), ...options },
    { log: { log, isShared, node: name, version: '1.2.3' }, connections: () => 7 },
  );
  const port = new FakePort(0);
  broker.attach(port);
  await broker.openLog();
  t.teardown(() => broker.close());
  return { name, broker, port };
}

export interface FakeCluster {
  readonly store: MemoryStore;
  readonly nodes: readonly FakeNode[];
}

/** Starts nodes with the names a, b, c. */
export async function startNodes(
  t: Test,
  count: 1 | 2 | 3,
  options?: NodeOptions,
): Promise<FakeCluster> {
  const store = new MemoryStore();
  const nodes: FakeNode[] = [];
  for (const name of ['a', 'b', 'c'].slice(0, count)) {
    nodes.push(await startNode(t, store, name, options));
  }
  return { store, nodes };
}
