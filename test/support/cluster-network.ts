// A network for the nodes of a cluster, inside a namespace of the test: each node has a namespace of its
// own at a bridge, where the engine and the clients are, and a packet filter cuts nodes off the engine.
import type { Test } from 'tap';

import type { Node } from './cluster.js';
import { Program } from './comet-world.js';
import { command } from './helpers.js';
import { Namespace } from './machines/namespace.js';

const BRIDGE = 'cluster';
/** The address of the engine, for the nodes. */
export const ENGINE_HOST = '10.77.0.1';

/** A node in a namespace of its own. */
export interface NetworkNode extends Node {
  readonly host: string;
}

export class ClusterNetwork {
  #nodes = 0;

  /** @param enginePort - Only packets to and from it are dropped. */
  constructor(readonly enginePort: number) {
    command('nft', 'flush ruleset');
    command('nft', 'add table inet cluster');
    for (const hook of ['input', 'output']) {
      const rule = `{ type filter hook ${hook} priority 0; }`;
      command('nft', `add chain inet cluster ${hook} ${rule}`);
    }
  }

  /** Makes the bridge; once in a namespace. */
  static prepare(): void {
    command('ip', 'link', 'set', 'lo', 'up');
    command('ip', 'link', 'add', BRIDGE, 'type', 'bridge');
    command('ip', 'address', 'add', `${ENGINE_HOST}/24`, 'dev', BRIDGE);
    command('ip', 'link', 'set', BRIDGE, 'up');
  }

  /** Starts a node, which ends with the test. */
  async start(t: Test, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<NetworkNode> {
    const index = ++this.#nodes;
    const host = `10.77.0.${index + 1}`;
    const [near, far] = [`near${index}`, `far${index}`];
    const namespace = await Namespace.make(t);
    const peer = ['type', 'veth', 'peer', 'name', far, 'netns', String(namespace.pid)];
    command('ip', 'link', 'add', near, 'master', BRIDGE, ...peer);
    t.teardown(() => {
      command('ip', 'link', 'del', near);
    });
    command('ip', 'link', 'set', near, 'up');
    namespace.command('ip', 'address', 'add', `${host}/24`, 'dev', far);
    namespace.command('ip', 'link', 'set', far, 'up');
    const program = await Program.start(t, { args, env, host, through: namespace.through });
    return { program, host };
  }

  /** Drops all packets between a node and the engine; connections stay half open. */
  cutOff({ host }: NetworkNode): void {
    const { enginePort: port } = this;
    command('nft', `add rule inet cluster input ip saddr ${host} tcp dport ${port} drop`);
    command('nft', `add rule inet cluster output ip daddr ${host} tcp sport ${port} drop`);
  }

  heal(): void {
    for (const chain of ['input', 'output']) command('nft', `flush chain inet cluster ${chain}`);
  }
}
