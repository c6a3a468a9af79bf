// A rolling restart of a cluster behind HAProxy, as docs/cluster.md describes it: clients that reconnect
// find another node, and resume with their cursor.
import { setTimeout as sleep } from 'node:timers/promises';

import t, { type Test } from 'tap';

import { Program, SseClient, type Endpoint } from '../support/comet-world.js';
import { EngineOrder, faultOf } from '../support/cluster.js';
import { ENGINES, type EngineKind } from '../support/engines.js';
import { startClusterProxy } from '../support/examples.js';
import { freePort, until } from '../support/helpers.js';
import { without } from '../support/requirements.js';

/** Connects again with the last cursor whenever the connection ends, until the test has ended. */
class ReturningClient extends SseClient {
  isStopped = false;
  returns = 0;

  async run(): Promise<void> {
    while (!this.isStopped) {
      if (!this.isOpen) await this.#return();
      await sleep(20);
    }
    this.close();
  }

  async #return(): Promise<void> {
    await this.open().catch(() => undefined);
    if (this.isOpen) this.returns++;
  }
}

/** Publishes until it is stopped, each message once at the first node that takes it. */
class Publisher {
  readonly done: Promise<void>;
  #isStopped = false;

  constructor(readonly nodes: readonly Node[]) {
    this.done = this.#run();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.done;
  }

  async #run(): Promise<void> {
    for (let count = 1; !this.#isStopped; count++) {
      const data = `message ${count}`;
      for (const { program } of this.nodes) {
        const status = await program.publish('room', data, { idempotencyKey: data }).catch(() => 0);
        if (status === 200) break;
      }
      await sleep(10);
    }
  }
}

interface Node {
  readonly port: number;
  readonly admin: number;
  program: Program;
}

async function startNode(
  t: Test,
  url: string,
  { port, admin }: Omit<Node, 'program'>,
): Promise<Program> {
  const args = ['--host', '127.0.0.1', '--port', String(port), '--admin-port', String(admin)];
  return Program.start(t, {
    args: [...args, '--workers', '2', '--engine', url, '--drain', '1', '--history-count', '10000'],
    // The engine of a busy machine may be late.
    expectLog: [/^the log of the messages is not available$/],
  });
}

async function startNodes(t: Test, url: string): Promise<Node[]> {
  const nodes: Node[] = [];
  for (let count = 0; count < 3; count++) {
    const ports = { port: await freePort(), admin: await freePort() };
    nodes.push({ ...ports, program: await startNode(t, url, ports) });
  }
  return nodes;
}

async function restart(t: Test, { start, urlOf }: EngineKind): Promise<void> {
  const engine = await start(t);
  const url = urlOf(engine.port);
  const nodes = await startNodes(t, url);
  const { port } = await startClusterProxy(t, nodes);
  const order = await EngineOrder.follow(engine.log());
  const endpoint: Endpoint = { port };
  const clients = Array.from({ length: 30 }, () => new ReturningClient(endpoint, ['room']));
  t.teardown(() => {
    for (const client of clients) client.isStopped = true;
  });
  await until('HAProxy to know the nodes', async () => {
    const [first] = clients;
    await first?.open();
    return first?.isOpen;
  });
  const runs = clients.map((client) => client.run());
  await until('all clients', () => clients.every(({ isOpen }) => isOpen));

  const publisher = new Publisher(nodes);
  t.teardown(() => publisher.stop());
  for (const node of nodes) {
    await node.program.server.stop();
    node.program = await startNode(t, url, node);
    await until('the node to be ready', async () => {
      const response = await fetch(`http://127.0.0.1:${node.admin}/readyz`);
      await response.arrayBuffer();
      return response.status === 200;
    });
    await sleep(1500);
  }
  await publisher.stop();
  const published = order.of('room');
  const last = published.at(-1)?.data ?? '';
  await until('the last message', () =>
    clients.every(({ seen }) => seen.some(({ data }) => data === last)),
  );
  for (const client of clients) client.isStopped = true;
  await Promise.all(runs);
  for (const client of clients) {
    t.equal(client.lost, 0, 'no recovered: false');
    t.equal(faultOf(client, published), null);
  }
  const returns = clients.reduce((sum, client) => sum + client.returns, 0);
  t.ok(returns >= 30, `${returns} reconnects`);
  t.ok(published.length > 100, `${published.length} messages`);
}

for (const kind of ENGINES) {
  const skip = without(kind.program, 'haproxy');
  const name = `a rolling restart behind HAProxy with ${kind.name} loses and repeats nothing`;
  t.test(name, { skip }, (t) => restart(t, kind));
}
