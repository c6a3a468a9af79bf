// A log in a stream of Redis. One script appends, XREAD reads; docs/cluster.md has the promises.
//
// The log knows its server by the run id, which a restart and a failover change. A node that
// connects to another server than the noted one claims it first, and that begins a new epoch: a server
// that lacks the last entries never gives their numbers again.
import { randomBytes } from 'node:crypto';

import type { Redis } from 'ioredis';

import { MegacometError } from '../base/errors.js';
import {
  APPEND_TIMEOUT_MS,
  BATCH_BYTES_MAX,
  PATIENCE,
  START_PATIENCE,
  type AppendId,
  type Log,
  type LogCounters,
  type LogReader,
  type LogStart,
} from './log.js';
import type { RedisAddress } from './redis-address.js';
import { RedisAppends, type Append } from './redis-appends.js';
import { loadIoredis, redisReason, type RedisClient, type RedisLogin } from './redis-client.js';
import { RedisConnection } from './redis-connection.js';
import { feed } from './redis-feed.js';
import { redisKeys, runAppend, runClaim, type RedisState } from './redis-scripts.js';
import { RedisSequence } from './redis-sequence.js';
import { connectServer, type RedisServer } from './redis-server.js';

export interface RedisLogOptions {
  readonly address: RedisAddress;
  /** The beginning of all keys. */
  readonly prefix: string;
  /** Bytes of entries that the stream keeps at least. */
  readonly keepBytes: number;
  /** Replicas that must have an entry before it counts as appended. */
  readonly waitReplicas: number;
  /** Called for each connection, because the password may change. */
  readonly password: () => string | null;
  /** Certificates of the issuers as PEM; null for those of Node.js. */
  readonly ca: string | null;
  /** Replaces `import('ioredis')` in tests. */
  readonly load?: () => Promise<{ readonly Redis: typeof Redis }>;
}

/** Appends under way on the connection; the broker has four. */
const UNDER_WAY_MAX = 16;
/**
 * Redis executes one command at a time, and copies an entry for the stream and for each reader: other
 * nodes wait meanwhile, so entries are small.
 */
const BATCH_BYTES_USUAL = 1024 * 1024;
/** Part of the time of an append in which replicas have to confirm it. */
const WAIT_SHARE = 0.8;
/** Milliseconds of a claim: half of the time of an append. */
const CLAIM_MS = APPEND_TIMEOUT_MS / 2;
/** Epochs of which the acknowledged positions are kept: a reader is seldom more than one behind. */
const EPOCHS_KEPT = 8;

const freshEpoch = (): bigint => randomBytes(8).readBigUInt64BE() || 1n;

export class RedisLog implements Log {
  readonly name: string;
  readonly batchBytesUsual = BATCH_BYTES_USUAL;
  readonly #options: RedisLogOptions;
  readonly #keys;
  readonly #appends: RedisAppends;
  readonly #writer: RedisConnection;
  readonly #feeder: RedisConnection;
  #client: typeof Redis | null = null;
  #state: RedisState | null = null;
  #reader: LogReader | null = null;
  #sequence: RedisSequence | null = null;
  /** By epoch. */
  readonly #acknowledged = new Map<bigint, number>();
  /** The highest position that the broker has applied, and that an append received. */
  #applied = 0;
  #newest = 0;
  #isWriterUp = false;
  #isFeederUp = false;
  /** Null while both connections are up. */
  #down: string | null = 'it is not open';
  #hasBeenUp = false;
  #isClosed = false;
  #reconnects = 0;
  #breaks = 0;
  #entriesRead = 0;

  constructor(options: RedisLogOptions) {
    this.#options = options;
    this.name = options.address.name;
    this.#keys = redisKeys(options.prefix);
    const connect = (): Promise<RedisServer> => this.#connect();
    this.#writer = new RedisConnection({
      connect,
      onUp: (server) => this.#onWriter(server),
      onDown: (reason) => {
        this.#isWriterUp = false;
        this.#appends.setServer(null);
        this.#onDown(reason);
      },
    });
    this.#feeder = new RedisConnection({
      connect,
      onUp: (server) => this.#onFeeder(server),
      onDown: (reason) => {
        this.#isFeederUp = false;
        this.#onDown(reason);
      },
    });
    this.#appends = new RedisAppends({
      name: `engine: ${this.name}`,
      underWayMax: options.waitReplicas > 0 ? 1 : UNDER_WAY_MAX,
      send: (server, append, before, leftMs) => this.#send(server, append, before, leftMs),
      refresh: (server) => this.#claim(server),
      onFault: (reason) => {
        this.#dropAll(reason);
      },
      downReason: () => this.#down ?? 'it is not open',
    });
  }

  get counters(): LogCounters {
    const { appends, bytes, errors, retries } = this.#appends;
    return {
      ...{ appends, appendBytes: bytes, appendErrors: errors, appendRetries: retries },
      entriesRead: this.#entriesRead,
      reconnects: this.#reconnects,
      breaks: this.#breaks,
    };
  }

  async open(): Promise<LogStart> {
    this.#client = await loadIoredis(this.#options.load);
    try {
      await this.#writer.open();
      await this.#feeder.open();
    } catch (error) {
      this.#writer.close();
      this.#feeder.close();
      throw this.#error(redisReason(error));
    }
    const { epoch, first, head, nowMs } = this.#stateNow();
    return { epoch, first, head, nowMs };
  }

  append(batch: Buffer, id: AppendId, applied: number): Promise<number> {
    if (this.#isClosed) return Promise.reject(this.#error('it is closed'));
    if (batch.length > BATCH_BYTES_MAX) {
      const rule = `at most ${BATCH_BYTES_MAX} are allowed`;
      return Promise.reject(this.#error(`an entry has ${batch.length} bytes; ${rule}`));
    }
    this.#applied = Math.max(this.#applied, applied);
    return this.#appends.add({ batch, id, applied });
  }

  read(after: number, reader: LogReader): void {
    const { epoch, seam } = this.#stateNow();
    this.#reader = reader;
    this.#sequence = new RedisSequence(after, after >= seam ? epoch : null, {
      reader: {
        onEntries: (entries) => {
          this.#entriesRead += entries.length;
          this.#reader?.onEntries(entries);
        },
        onBreak: (broken) => {
          this.#breaks++;
          this.#reader?.onBreak(broken);
        },
      },
      acknowledged: (of) => this.#acknowledged.get(of) ?? 0,
      applied: () => this.#applied,
      onDispute: (seam) => {
        this.#dispute(seam.epoch);
      },
    });
    if (this.#down !== null) reader.onBreak({ kind: 'down', reason: this.#down });
    if (this.#isFeederUp) this.#feed();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#reader = null;
    this.#feeder.close();
    await this.#appends.idle();
    this.#writer.close();
  }

  #connect(): Promise<RedisServer> {
    const { address, password, ca } = this.#options;
    if (this.#client === null) throw new Error('unreachable: open() loads the client first');
    const login = (): RedisLogin => ({ user: address.user, password: password() });
    const patience = this.#hasBeenUp ? PATIENCE : START_PATIENCE;
    return connectServer(this.#client, address, { login, isTls: address.isTls, ca, patience });
  }

  async #onWriter(server: RedisServer): Promise<void> {
    this.#checkSame(server, this.#feeder);
    await this.#claim(server);
    this.#isWriterUp = true;
    this.#appends.setServer(server);
    this.#checkUp();
  }

  async #onFeeder(server: RedisServer): Promise<void> {
    this.#checkSame(server, this.#writer);
    await this.#claim(server);
    this.#isFeederUp = true;
    if (this.#sequence !== null) this.#feed();
    this.#checkUp();
  }

  /** Both connections must reach one server, or appends do not return. @throws Error. */
  #checkSame(server: RedisServer, other: RedisConnection): void {
    if (other.server === null || other.server.run === server.run) return;
    // Either may be the wrong one: an address with two servers, or a failover that one of them missed.
    const reason = 'its two connections reached different servers';
    other.drop(reason);
    throw new Error(reason);
  }

  #checkUp(): void {
    if (this.#isClosed || !this.#isWriterUp || !this.#isFeederUp || this.#down === null) return;
    const isFirst = !this.#hasBeenUp;
    this.#hasBeenUp = true;
    this.#down = null;
    if (isFirst) return;
    this.#reconnects++;
    this.#reader?.onBreak({ kind: 'up' });
  }

  #onDown(reason: string): void {
    const wasUp = this.#down === null;
    this.#down = reason;
    if (wasUp) this.#reader?.onBreak({ kind: 'down', reason });
  }

  /** Reads the state of the log; begins a new epoch where that is due. */
  async #claim({ client, run }: RedisServer, disputed: bigint | null = null): Promise<void> {
    const timer = setTimeout(
      () => {
        client.destroy('it does not answer');
      },
      this.#hasBeenUp ? CLAIM_MS : START_PATIENCE.answerMs,
    );
    try {
      this.#state = await runClaim(client, this.#keys, {
        ...{ run, disputed, fresh: freshEpoch(), believed: this.#state?.epoch ?? 0n },
        known: this.#knownPosition(),
        atMs: this.#sequence?.atMs ?? 0,
        keepsEpoch: this.#options.waitReplicas > 0,
      });
    } catch (error) {
      throw client.explain(error);
    } finally {
      clearTimeout(timer);
    }
  }

  #knownPosition(): number {
    return Math.max(this.#applied, this.#newest, this.#sequence?.position ?? 0);
  }

  /** An epoch lacks entries of the one before, and its nodes do not know: they have to. */
  #dispute(epoch: bigint): void {
    const { server } = this.#feeder;
    if (server === null) return;
    this.#claim(server, epoch).catch((error: unknown) => {
      server.client.destroy(redisReason(error));
    });
  }

  #feed(): void {
    const { server } = this.#feeder;
    const sequence = this.#sequence;
    if (server === null || sequence === null) return;
    const onIdle = (): Promise<void> => this.#claim(server);
    feed(server.client, { key: this.#keys.log, sequence, onIdle }).catch((error: unknown) => {
      server.client.destroy(redisReason(error));
    });
  }

  async #send(
    { client, run }: RedisServer,
    { batch, id, applied }: Append,
    before: AppendId | null,
    leftMs: number,
  ): Promise<number | 'order' | 'stale'> {
    const { keepBytes, waitReplicas } = this.#options;
    const { epoch } = this.#stateNow();
    const call = { epoch, run, applied, ...id, before: before?.count ?? null, keepBytes, batch };
    const sent = runAppend(client, this.#keys, call);
    const result = waitReplicas === 0 ? await sent : await this.#confirm(client, sent, leftMs);
    if (typeof result === 'number') this.#acknowledge(epoch, result);
    return result;
  }

  /** Waits until enough replicas have all that this connection wrote. */
  async #confirm<T>(client: RedisClient, sent: Promise<T>, leftMs: number): Promise<T> {
    const { waitReplicas } = this.#options;
    const timeMs = Math.max(1, Math.floor(leftMs * WAIT_SHARE));
    const [result, found] = await Promise.all([sent, client.call('WAIT', waitReplicas, timeMs)]);
    if (Number(found) >= waitReplicas || typeof result !== 'number') return result;
    const reason = `${Number(found)} of ${waitReplicas} replicas confirmed the entry`;
    throw new MegacometError('ERR_LOG', reason);
  }

  #acknowledge(epoch: bigint, seq: number): void {
    this.#newest = Math.max(this.#newest, seq);
    this.#acknowledged.set(epoch, Math.max(seq, this.#acknowledged.get(epoch) ?? 0));
    const [oldest] = this.#acknowledged.keys();
    if (this.#acknowledged.size > EPOCHS_KEPT && oldest !== undefined) {
      this.#acknowledged.delete(oldest);
    }
  }

  #dropAll(reason: string): void {
    this.#writer.drop(reason);
    this.#feeder.drop(reason);
  }

  #stateNow(): RedisState {
    if (this.#state === null) throw new Error('open() must be called first');
    return this.#state;
  }

  #error(reason: string): MegacometError {
    return new MegacometError('ERR_LOG', `engine: ${this.name}: ${reason}`);
  }
}
