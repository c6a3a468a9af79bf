// Random faults under three nodes of a log in Redis, with a seed: every reader must get the same order,
// and nothing may be lost, repeated or numbered twice without a break.
import t, { type Test } from 'tap';

import type { LogBreak, LogEntry, LogReader } from '../../lib/log/log.js';
import type { RedisLog } from '../../lib/log/redis-log.js';
import { until } from '../support/helpers.js';
import { seededRandom, type Random } from '../support/random.js';
import { redisLog, RedisProcess } from '../support/redis.js';
import { without } from '../support/requirements.js';
import { TcpProxy } from '../support/tcp-proxy.js';

const ROUNDS = Number(process.env['ROUNDS'] ?? 200);
const NODES = 3;

interface Read {
  readonly epoch: bigint;
  readonly seq: number;
  readonly text: string;
}

/** A node that appends, and remembers the entries that it read, each with its epoch. */
class ChaosNode implements LogReader {
  readonly read: Read[] = [];
  /** Positions before which entries may be missing: by the number of entries read before. */
  readonly gaps: { readonly after: number; readonly to: number; readonly at: number }[] = [];
  readonly epochs: { readonly epoch: bigint; readonly lastSeq: number; readonly at: number }[] = [];
  /** Texts that were acknowledged, with their position. */
  readonly acknowledged = new Map<string, number>();
  readonly errors: string[] = [];
  applied = 0;
  isUp = true;
  #epoch = 0n;
  #count = 0;

  constructor(
    readonly name: string,
    readonly log: RedisLog,
  ) {}

  async start(): Promise<void> {
    const { epoch, first } = await this.log.open();
    this.#epoch = epoch;
    this.log.read(first - 1, this);
  }

  onEntries(entries: readonly LogEntry[]): void {
    for (const { seq, batch } of entries) {
      if (seq <= this.applied) this.errors.push(`${seq} after ${this.applied}`);
      this.applied = seq;
      this.read.push({ epoch: this.#epoch, seq, text: batch.toString() });
    }
  }

  onBreak(broken: LogBreak): void {
    const at = this.read.length;
    if (broken.kind === 'down' || broken.kind === 'up') this.isUp = broken.kind === 'up';
    else if (broken.kind === 'gap') this.gaps.push({ ...broken, at });
    else {
      this.epochs.push({ ...broken, at });
      this.#epoch = broken.epoch;
    }
  }

  /** Appends with a retry under the same id, as a publisher does. */
  async append(): Promise<number> {
    const id = { node: this.name, count: ++this.#count };
    const text = `${id.node} ${id.count}`;
    for (let attempt = 0; attempt < 2; attempt++) {
      const seq = await this.log.append(Buffer.from(text), id, this.applied).catch(() => 0);
      if (seq === 0) continue;
      this.acknowledged.set(text, seq);
      return seq;
    }
    return 0;
  }

  /** Texts that were read twice, although the log did not lose the first in between. */
  repeated(): string[] {
    const first = new Map<string, number>();
    return this.read.flatMap(({ text }, index) => {
      const before = first.get(text);
      first.set(text, index);
      if (before === undefined) return [];
      const seq = this.read[before]?.seq ?? 0;
      const end = this.epochs.find(({ at }) => at > before && at <= index);
      return end !== undefined && seq > end.lastSeq ? [] : [text];
    });
  }

  /** Whether a break covers a position that this node did not read. */
  covers(seq: number): boolean {
    if (this.gaps.some(({ after, to }) => seq > after && seq <= to)) return true;
    // The epoch ended there: the first entry of the next one is above, and the last of the old below.
    return this.epochs.some(({ at }) => {
      const before = at === 0 ? 0 : (this.read[at - 1]?.seq ?? 0);
      return seq > before && seq < (this.read[at]?.seq ?? Infinity);
    });
  }
}

/** One fault; it resolves when the server is back. */
type Fault = (server: RedisProcess, proxies: readonly TcpProxy[], random: Random) => Promise<void>;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const FAULTS: Readonly<Record<string, Fault>> = {
  'killed, with its data': async (server) => {
    await server.command('SAVE');
    await server.kill();
    await server.run();
  },
  'killed, with an old copy': async (server) => {
    await server.kill();
    await server.run();
  },
  'restarted empty': async (server) => {
    await server.kill();
    server.forget();
    await server.run();
  },
  stopped: async (server, _, random) => {
    await server.suspend();
    await pause(random() * 300);
    server.signal('SIGCONT');
  },
  flushed: async (server) => {
    await server.command('FLUSHALL');
  },
  'answers lost': (_, proxies, random) => {
    const proxy = proxies[Math.floor(random() * proxies.length)];
    let left = 1;
    if (proxy !== undefined) proxy.losesAnswer = (chunk) => chunk.includes('EVALSHA') && left-- > 0;
    return Promise.resolve();
  },
  cut: (_, proxies, random) => {
    proxies[Math.floor(random() * proxies.length)]?.cut();
    return Promise.resolve();
  },
  'scripts flushed': async (server) => {
    await server.command('SCRIPT', 'FLUSH');
  },
};

function check(t: Test, nodes: readonly ChaosNode[]): void {
  const bytes = new Map<string, string>();
  for (const node of nodes) {
    t.same(node.errors, [], `${node.name}: positions only grow`);
    t.same(node.repeated(), [], `${node.name}: no entry twice`);
    for (const { epoch, seq, text } of node.read) {
      const key = `${epoch} ${seq}`;
      const known = bytes.get(key) ?? text;
      if (known !== text) t.fail(`${key} is ${known} and ${text}`);
      bytes.set(key, known);
    }
  }
  for (const node of nodes) {
    const read = new Set(node.read.map(({ epoch, seq }) => `${epoch} ${seq}`));
    // A position in two epochs is two entries.
    const missing = nodes
      .flatMap((other) => other.read)
      .filter(({ epoch, seq }) => !read.has(`${epoch} ${seq}`) && !node.covers(seq));
    t.same(missing, [], `${node.name}: has each entry of the others, or a break`);
    const texts = new Set(node.read.map(({ text }) => text));
    const lost = nodes
      .flatMap(({ acknowledged }) => [...acknowledged])
      .filter(([text, seq]) => !texts.has(text) && !node.covers(seq));
    t.same(lost, [], `${node.name}: has each acknowledged append, or a break`);
  }
}

t.test(`${ROUNDS} random faults`, { skip: without('redis-server') }, async (t) => {
  const random = seededRandom(t);
  const server = await RedisProcess.start(t);
  const proxies = await Promise.all(
    Array.from({ length: NODES }, () => TcpProxy.start(t, server.port)),
  );
  const nodes = proxies.map(
    ({ port }, index) => new ChaosNode(`node-${index}`, redisLog(t, `redis://127.0.0.1:${port}`)),
  );
  for (const node of nodes) await node.start();
  const names = Object.keys(FAULTS);
  const counts = new Map<string, number>();
  for (let round = 0; round < ROUNDS; round++) {
    const appends = nodes.flatMap((node) =>
      Array.from({ length: 1 + Math.floor(random() * 4) }, () => node.append()),
    );
    const name = names[Math.floor(random() * names.length)] ?? '';
    counts.set(name, (counts.get(name) ?? 0) + 1);
    await FAULTS[name]?.(server, proxies, random);
    await Promise.all(appends);
    // Some rounds begin while nodes are still down.
    if (random() < 0.7) await until('all nodes to be up', () => nodes.every(({ isUp }) => isUp));
  }
  await until('all nodes to be up', () => nodes.every(({ isUp }) => isUp));
  const lastOnes = await until('all nodes to append', async () => {
    const seqs = await Promise.all(nodes.map((node) => node.append()));
    return seqs.every((seq) => seq > 0) ? seqs : undefined;
  });
  const head = Math.max(...lastOnes);
  await until('the last entry at all nodes', () => nodes.every(({ applied }) => applied >= head));
  check(t, nodes);
  t.comment(JSON.stringify(Object.fromEntries(counts)));
  const read = nodes.flatMap((node) => node.read).length;
  const epochs = nodes.flatMap((node) => node.epochs).length;
  const gaps = nodes.flatMap((node) => node.gaps).length;
  t.comment(`${read} entries, ${epochs} epochs and ${gaps} gaps of all nodes`);
  t.ok(read > ROUNDS, 'entries were read');
});
