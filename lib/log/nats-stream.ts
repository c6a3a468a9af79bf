// The stream of JetStream that keeps the log: makes it, checks it, reads single messages, and begins
// epochs in it.
import type { JetStreamManager, StreamConfig } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';

import { PATIENCE } from './log.js';
import type { NatsModule } from './nats-module.js';
import type { Claim, StreamMessage, StreamState } from './nats-position.js';
import { encodeRecord, nanosecondsOf } from './nats-record.js';

export interface StreamOptions {
  /** The stream, and its only subject. */
  readonly name: string;
  /** Servers that keep a copy, for a stream that is made. */
  readonly replicas: number;
  /** Bytes that a stream keeps, for a stream that is made. */
  readonly keepBytes: number;
}

/** The least time in which the server must know an id again; its default. */
const DUPLICATES_MS = 120_000;

const WRONG_LAST_SEQUENCE = 10_071;
const STREAM_NOT_FOUND = 10_059;

function codeOf(error: unknown): number {
  return (error as { readonly code?: number }).code ?? 0;
}

/** The rule that a stream of another origin breaks; null if it can keep a log. */
export function streamFault(config: StreamConfig, name: string): string | null {
  const { retention, discard, duplicate_window: duplicates, mirror } = config;
  // A mirror has none.
  const subjects = (config.subjects as readonly string[] | undefined) ?? [];
  const rules: readonly (readonly [isKept: boolean, rule: string])[] = [
    [subjects.length === 1 && subjects[0] === name, `its only subject must be ${name}`],
    [(retention as string) === 'limits', 'its retention must be limits'],
    [(discard as string) === 'old', 'it must discard old messages, not new ones'],
    [config.max_msgs_per_subject <= 0, 'it must not limit the messages of a subject'],
    [duplicates >= DUPLICATES_MS * 1e6, 'its duplicate window must be 2 minutes or more'],
    [!config.sealed && config.no_ack !== true && mirror === undefined, 'it must accept messages'],
  ];
  return rules.find(([isKept]) => !isKept)?.[1] ?? null;
}

export class NatsStream {
  readonly #manager: JetStreamManager;
  readonly #connection: NatsConnection;

  private constructor(
    readonly module: NatsModule,
    readonly options: StreamOptions,
    connection: NatsConnection,
    manager: JetStreamManager,
    private readonly answerMs: number,
  ) {
    this.#connection = connection;
    this.#manager = manager;
  }

  static async of(
    module: NatsModule,
    connection: NatsConnection,
    options: StreamOptions,
    { answerMs } = PATIENCE,
  ): Promise<NatsStream> {
    // The check would need the permission to read the account.
    const settings = { checkAPI: false, timeout: answerMs };
    const manager = await module.jetstream.jetstreamManager(connection, settings);
    return new NatsStream(module, options, connection, manager, answerMs);
  }

  /** Makes the stream if it does not exist. @throws Error with the rule that an existing one breaks. */
  async ensure(): Promise<StreamState> {
    const { name } = this.options;
    const info = await this.#manager.streams.info(name).catch(async (error: unknown) => {
      if (codeOf(error) !== STREAM_NOT_FOUND) throw error;
      return this.#make();
    });
    const fault = streamFault(info.config, name);
    if (fault !== null) throw new Error(`the stream ${name} cannot keep the log: ${fault}`);
    const { messages, first_seq: first, last_seq: last } = info.state;
    const createdNs = nanosecondsOf(info.created);
    return { createdNs, first: messages === 0 ? last + 1 : first, last };
  }

  async #make(): Promise<Awaited<ReturnType<JetStreamManager['streams']['info']>>> {
    const { name, replicas, keepBytes } = this.options;
    const { DiscardPolicy, RetentionPolicy, StorageType } = this.module.jetstream;
    return this.#manager.streams.add({
      ...{ name, subjects: [name], num_replicas: replicas, max_bytes: keepBytes },
      ...{ retention: RetentionPolicy.Limits, storage: StorageType.File },
      ...{ discard: DiscardPolicy.Old, duplicate_window: DUPLICATES_MS * 1e6 },
    });
  }

  /** The message with this sequence; null if it is gone. */
  async message(seq: number): Promise<StreamMessage | null> {
    const stored = await this.#manager.streams.getMessage(this.options.name, { seq });
    if (stored === null) return null;
    return { seq, stampNs: nanosecondsOf(stored.timestamp), data: stored.data };
  }

  /**
   * Begins an epoch, unless another message came first.
   *
   * @returns Whether it began.
   */
  async begin(createdNs: bigint, { epoch, base, after }: Claim, node: string): Promise<boolean> {
    const id = { node, count: 0 };
    const batch = Buffer.alloc(0);
    const record = { kind: 'epoch', epoch, createdNs, base, clockMs: 0, id, batch } as const;
    return this.#publishAfter(after, encodeRecord(record));
  }

  /** Asks the server to store a message after one that cannot exist: a test of the permissions. */
  async probe(): Promise<void> {
    await this.#publishAfter(Number.MAX_SAFE_INTEGER, Buffer.alloc(0));
  }

  async #publishAfter(last: number, payload: Buffer): Promise<boolean> {
    const { core, jetstream } = this.module;
    const client = jetstream.jetstream(this.#connection, { timeout: this.answerMs });
    const headers = core.headers();
    headers.set('Nats-Expected-Last-Sequence', String(last));
    try {
      await client.publish(this.options.name, payload, { headers });
      return true;
    } catch (error) {
      if (codeOf(error) === WRONG_LAST_SEQUENCE) return false;
      throw error;
    }
  }

  /**
   * Delivers all messages from a sequence to a subject, in order, with flow control and heartbeats.
   *
   * @returns The server's time in milliseconds.
   */
  async deliver(subject: string, from: number, heartbeatMs: number): Promise<number> {
    const { AckPolicy, DeliverPolicy, ReplayPolicy } = this.module.jetstream;
    const info = await this.#manager.consumers.add(this.options.name, {
      ...{ deliver_subject: subject, deliver_policy: DeliverPolicy.StartSequence },
      ...{ opt_start_seq: from, ack_policy: AckPolicy.None, replay_policy: ReplayPolicy.Instant },
      ...{ flow_control: true, idle_heartbeat: heartbeatMs * 1e6, max_deliver: 1 },
      // A consumer that one server keeps in memory costs no write; the reader makes another if it ends.
      ...{ mem_storage: true, num_replicas: 1, inactive_threshold: 5_000_000_000 },
    });
    return Date.parse(info.created);
  }
}
