// A cluster of a test: real servers, each with a way of its own to one engine, and a record of the
// order of the engine, by which the clients of all nodes are checked.
import type { Test } from 'tap';

import { parseCursor } from '../../lib/broker/cursor.js';
import { eachRecord, numberOf, RecordKind } from '../../lib/broker/log-batch.js';
import { readPublishRecord } from '../../lib/broker/publish-record.js';
import type { Log, LogBreak, LogEntry } from '../../lib/log/log.js';
import { Program, SseClient, type Seen } from './comet-world.js';
import { until } from './helpers.js';
import { TcpProxy } from './tcp-proxy.js';

export interface ClusterNode {
  readonly program: Program;
  /** The way of this node to the engine. */
  readonly proxy: TcpProxy;
}

/** A node whose way to the engine does not matter. */
export type Node = Pick<ClusterNode, 'program'>;

export interface ClusterOptions {
  readonly nodes: number;
  /** The port of the engine. */
  readonly port: number;
  /** The URL of the engine for the port of a proxy. */
  readonly urlOf: (port: number) => string;
  /** Of each node; default 2. */
  readonly workers?: number;
  readonly args?: readonly string[];
  /** The environment of the first node. */
  readonly env?: NodeJS.ProcessEnv;
}

/** Starts nodes that reach the engine over proxies. They end with the test. */
export async function startCluster(
  t: Test,
  { nodes, port, urlOf, workers = 2, args = [], env = {} }: ClusterOptions,
): Promise<ClusterNode[]> {
  const started: ClusterNode[] = [];
  for (let index = 0; index < nodes; index++) {
    const proxy = await TcpProxy.start(t, port);
    const program = await Program.start(t, {
      args: ['--engine', urlOf(proxy.port), '--workers', String(workers), ...args],
      env: index === 0 ? env : {},
    });
    started.push({ proxy, program });
  }
  return started;
}

/** A message in the order of the engine. */
export interface Ordered {
  readonly number: number;
  readonly channel: string;
  readonly data: string;
}

/** Everything that the engine has, as a reader of its own sees it. */
export class EngineOrder {
  readonly messages: Ordered[] = [];
  readonly breaks: LogBreak[] = [];
  readonly #keys = new Set<string>();
  readonly #counts = new Map<number, number>();

  /** Reads a log, which the caller made for this only. */
  static async follow(log: Log): Promise<EngineOrder> {
    const order = new EngineOrder();
    const { first } = await log.open();
    log.read(first - 1, {
      onEntries: (entries) => {
        for (const entry of entries) order.#take(entry);
      },
      onBreak: (broken) => {
        order.breaks.push(broken);
      },
    });
    return order;
  }

  /** The messages of a channel. */
  of(channel: string): readonly Ordered[] {
    return this.messages.filter((message) => message.channel === channel);
  }

  /** The records of a kind. */
  count(kind: number): number {
    return this.#counts.get(kind) ?? 0;
  }

  #take({ seq, batch }: LogEntry): void {
    eachRecord(batch, ({ kind, place, body }) => {
      this.#counts.set(kind, this.count(kind) + 1);
      if (kind !== RecordKind.publish) return;
      const { channel, data, key } = readPublishRecord(body);
      if (key !== undefined) {
        // The first record with a key counts.
        if (this.#keys.has(`${channel} ${key}`)) return;
        this.#keys.add(`${channel} ${key}`);
      }
      this.messages.push({
        number: numberOf(seq, place),
        channel,
        data: Buffer.from(data).toString(),
      });
    });
  }
}

/** The messages of a client, and the cursors of the losses that it was notified of. */
export interface Received {
  readonly seen: readonly Seen[];
  readonly notices: readonly string[];
}

/** Subscribes clients of one channel at each node. */
export async function subscribeNodes(
  t: Test,
  nodes: readonly Node[],
  channel: string,
  each = 1,
): Promise<SseClient[][]> {
  const all: SseClient[][] = [];
  for (const { program } of nodes) {
    const clients = Array.from({ length: each }, () => new SseClient(program, [channel]));
    for (const client of clients) {
      t.teardown(() => {
        client.close();
      });
      await client.open();
    }
    all.push(clients);
  }
  return all;
}

/**
 * Compares the messages of a client with the order of the engine: each once, in that order, and without
 * a gap that was not announced.
 *
 * @returns The first fault; null without one.
 */
export function faultOf({ seen, notices }: Received, order: readonly Ordered[]): string | null {
  const losses = notices.map((cursor) => Number(parseCursor(cursor)?.number));
  const isNotified = (missed: number, before: number): boolean =>
    losses.some((number) => number >= missed && number < before);
  let next = 0;
  for (const { data, cursor } of seen) {
    const at = order.findIndex((message, index) => index >= next && message.data === data);
    const { number = 0 } = order[at] ?? {};
    if (at < 0) return `${data} (${cursor}) is repeated, out of order, or unknown`;
    if (Number(parseCursor(cursor)?.number) !== number) {
      return `${data} has the cursor ${cursor}, not the number ${number}`;
    }
    const missed = order.slice(next, at).find((message) => !isNotified(message.number, number));
    if (missed !== undefined) return `${missed.data} was missed before ${data}`;
    next = at + 1;
  }
  const missed = order.slice(next).find((message) => !isNotified(message.number, Infinity));
  return missed === undefined ? null : `${missed.data} was never received`;
}

/** Sends a command until the log takes it: on a busy machine it may need more than a second. */
export async function command(node: Program, path: string, body: object): Promise<void> {
  await until(`${path} to be accepted`, async () => (await node.post(path, body)) === 200);
}

/** Publishes in the same way. All messages of a channel are different. */
export function publishOnce(node: Program, channel: string, data: string): Promise<void> {
  return command(node, '/publish', { channel, data, idempotencyKey: data });
}

/** Waits until each client has a message. */
export async function allHave(clients: readonly SseClient[], data: string): Promise<void> {
  for (const client of clients) {
    await until(`${data} at a client`, () => client.seen.some((item) => item.data === data));
  }
}
