// The size of a cluster of servers that share one log: docs/cluster.md explains each formula.

export interface ClusterLoad {
  /** Of the whole cluster. */
  readonly connections: number;
  /** 2 or more. */
  readonly nodes: number;
  /** Messages per second that all nodes publish together. */
  readonly messageRate: number;
  readonly messageBytes: number;
}

export interface ClusterNeed {
  readonly nodes: number;
  /** Connections that one node must hold: the others hold all while one is away. */
  readonly nodeConnections: number;
  /** Cores of each node that apply the messages of all. */
  readonly applyCores: number;
  /** From all nodes together. */
  readonly engineReceivedBitsPerSecond: number;
  /** It sends everything to each node. */
  readonly engineSentBitsPerSecond: number;
}

/** One message of another node, applied: `node dist/bench/broker.js`, a virtual core of 2026. */
const APPLY_US = 3;
/** Channel, limits and lengths of a message in an entry. */
const MESSAGE_HEAD_BYTES = 100;
/** Names, numbers and the command around an entry. */
const ENTRY_BYTES = 160;
/** A loop iteration of a node that publishes takes about a millisecond, and writes one entry. */
const NODE_ENTRIES_PER_SECOND_MAX = 1000;
/** Entries of each node without messages. */
const TICKS_PER_SECOND = 1;

export function clusterNeeded(load: ClusterLoad): ClusterNeed {
  const { connections, nodes, messageRate, messageBytes } = load;
  const entries =
    Math.min(messageRate, nodes * NODE_ENTRIES_PER_SECOND_MAX) + nodes * TICKS_PER_SECOND;
  const received = messageRate * (messageBytes + MESSAGE_HEAD_BYTES) + entries * ENTRY_BYTES;
  return {
    nodes,
    nodeConnections: Math.ceil(connections / (nodes - 1)),
    applyCores: (messageRate * APPLY_US) / 1e6,
    engineReceivedBitsPerSecond: 8 * received,
    engineSentBitsPerSecond: 8 * received * nodes,
  };
}
