// Three servers that share a log in Redis or NATS: order, recovery and commands over all of them, and the
// faults of the engine as clients and publishers see them.
import t, { type Test } from 'tap';

import { SseClient } from '../support/comet-world.js';
import {
  allHave,
  EngineOrder,
  faultOf,
  publishOnce,
  startCluster,
  subscribeNodes,
  type ClusterNode,
} from '../support/cluster.js';
import { ENGINES, type Engine, type EngineKind } from '../support/engines.js';
import { until } from '../support/helpers.js';
import { without } from '../support/requirements.js';

interface World {
  readonly engine: Engine;
  readonly nodes: readonly [ClusterNode, ClusterNode, ClusterNode];
  readonly order: EngineOrder;
}

async function start(t: Test, { start: startEngine, urlOf }: EngineKind): Promise<World> {
  const engine = await startEngine(t);
  const nodes = await startCluster(t, { nodes: 3, port: engine.port, urlOf });
  const order = await EngineOrder.follow(engine.log());
  const [a, b, c] = nodes;
  if (a === undefined || b === undefined || c === undefined) throw new Error('three nodes');
  return { engine, nodes: [a, b, c], order };
}

const CASES: Readonly<Record<string, (t: Test, world: World) => Promise<void>>> = {
  'a message of any node reaches the clients of each, in one order': async (
    t,
    { nodes, order },
  ) => {
    const [a] = nodes;
    const clients = (await subscribeNodes(t, nodes, 'room', 2)).flat();
    await Promise.all(
      Array.from({ length: 60 }, (_, n) =>
        publishOnce((nodes[n % 3] ?? a).program, 'room', `message ${n}`),
      ),
    );
    await publishOnce(a.program, 'room', 'last');
    await allHave(clients, 'last');
    for (const client of clients) t.equal(faultOf(client, order.of('room')), null);
    t.equal(order.of('room').length, 61);
  },

  'a client resumes at another node with its cursor': async (t, { nodes }) => {
    const [a, b, c] = nodes;
    const client = new SseClient(a.program, ['resume']);
    await client.open();
    await publishOnce(b.program, 'resume', 'one');
    await client.has(1);
    client.close();
    await publishOnce(c.program, 'resume', 'two');
    const other = new SseClient(b.program, ['resume']);
    other.cursor = client.cursor;
    await other.open();
    t.teardown(() => {
      other.close();
    });
    await other.has(1);
    t.same(other.data, ['two']);
    t.equal(other.lost, 0);
  },

  'a command at one node closes clients of another': async (t, { nodes }) => {
    const [a, , c] = nodes;
    const [[client]] = (await subscribeNodes(t, [c], 'kicked')) as [[SseClient]];
    t.equal(await a.program.kick('kicked', 'bye'), 200);
    await until('the client is closed', () => !client.isOpen);
  },

  'a stopped engine: publishers know, clients stay, nothing is lost': async (
    t,
    { engine, nodes, order },
  ) => {
    const [a, b] = nodes;
    const clients = (await subscribeNodes(t, nodes, 'stop')).flat();
    await engine.suspend();
    t.equal(await a.program.publish('stop', 'while it is stopped'), 503);
    await until('no node is ready', async () => {
      const states = await Promise.all(nodes.map(({ program }) => ready(program)));
      return states.every((isReady) => !isReady);
    });
    engine.resume();
    await until('all nodes are ready', async () => {
      const states = await Promise.all(nodes.map(({ program }) => ready(program)));
      return states.every((isReady) => isReady);
    });
    t.equal(await b.program.publish('stop', 'afterwards'), 200);
    await allHave(clients, 'afterwards');
    for (const client of clients) {
      t.equal(faultOf(client, order.of('stop')), null);
      t.equal(client.notices.length, 0);
      t.ok(client.isOpen);
    }
  },

  'a node that was cut off receives everything afterwards': async (t, { nodes, order }) => {
    const [a, b, c] = nodes;
    const clients = (await subscribeNodes(t, nodes, 'cut')).flat();
    b.proxy.isSilent = true;
    t.equal(await a.program.publish('cut', 'one'), 200);
    t.equal(await b.program.publish('cut', 'from the node that is cut off'), 503);
    await until('it is not ready', async () => !(await ready(b.program)));
    t.equal(await ready(a.program), true);
    b.proxy.isSilent = false;
    b.proxy.cut();
    await until('it is ready', () => ready(b.program));
    t.equal(await c.program.publish('cut', 'last'), 200);
    await allHave(clients, 'last');
    for (const client of clients) {
      t.equal(faultOf(client, order.of('cut')), null);
      t.equal(client.notices.length, 0);
    }
  },

  'messages that the engine lost are reported to those who missed them': async (
    t,
    { engine, nodes },
  ) => {
    const [a, b, c] = nodes;
    const gapsBefore = nodes.map(gapsOf);
    const [[atA], [atB], [atC]] = (await subscribeNodes(t, nodes, 'lost')) as [
      [SseClient],
      [SseClient],
      [SseClient],
    ];
    b.proxy.isSilent = true;
    t.equal(await a.program.publish('lost', 'only at two nodes'), 200);
    await allHave([atA, atC], 'only at two nodes');
    await engine.kill();
    await engine.runEmpty();
    b.proxy.isSilent = false;
    b.proxy.cut();
    await until('all nodes are ready', async () => {
      const states = await Promise.all(nodes.map(({ program }) => ready(program)));
      return states.every((isReady) => isReady);
    });
    t.equal(await c.program.publish('lost', 'in the new epoch'), 200);
    await allHave([atA, atB, atC], 'in the new epoch');
    const gaps = nodes.map((node, index) => gapsOf(node) - (gapsBefore[index] ?? 0));
    t.ok(gaps[1], 'the node that was cut off missed entries');
    // A tick that the engine had when it was killed may be missing at the others too.
    for (const [index, { notices }] of [atA, atB, atC].entries()) {
      const count = gaps[index] ?? 0;
      t.ok(notices.length <= count, 'a subscriber is notified at most once for each gap');
      t.equal(notices.length > 0, count > 0, 'and only if its node has one');
    }
    const epochs = new Set([atA, atB, atC].map(({ cursor }) => cursor.slice(0, 16)));
    t.equal(epochs.size, 1, 'cursors of all nodes have the new epoch');
  },
};

/** Times that a node missed entries of the log. */
function gapsOf({ program }: ClusterNode): number {
  return program.server.log.filter(({ msg }) => msg.startsWith('entries of the log are lost'))
    .length;
}

async function ready({ server }: ClusterNode['program']): Promise<boolean> {
  const response = await fetch(`http://127.0.0.1:${server.adminPort}/readyz`);
  await response.arrayBuffer();
  return response.status === 200;
}

for (const kind of ENGINES) {
  const skip = without(kind.program);
  t.test(`a cluster of three servers with ${kind.name}`, { skip }, async (t) => {
    const world = await start(t, kind);
    for (const [name, check] of Object.entries(CASES)) await t.test(name, (t) => check(t, world));
  });
}
