// The appends of one process that are under way: sent in their order, again where an answer may be
// lost, and completed when the reader has seen their entry.
import type { Msg, MsgHdrs, NatsConnection } from '@nats-io/transport-node';

import { MegacometError } from '../base/errors.js';
import { APPEND_TIMEOUT_MS, type AppendId } from './log.js';
import { encodeRecord } from './nats-record.js';

/** The members of a new record that describe the log. */
export interface AppendTerms {
  readonly epoch: bigint;
  readonly base: number;
  readonly createdNs: bigint;
  readonly clockMs: number;
}

export interface AppendHandlers {
  terms(): AppendTerms;
  /** Whether the reader has passed a sequence of the stream. */
  hasPassed(streamSeq: number): boolean;
  headers(): MsgHdrs;
  /** JetStream does not answer on this connection: the stream may be gone. */
  onSilence(): void;
  /** An entry was stored, and not read within the time of an append. */
  onUnread(streamSeq: number): void;
}

interface Pending {
  readonly id: AppendId;
  readonly batch: Buffer;
  readonly endsAtMs: number;
  readonly promise: Promise<number>;
  readonly resolve: (seq: number) => void;
  readonly reject: (error: MegacometError) => void;
  sentAtMs: number;
  /** The epoch of the sent record; 0 before it was sent. */
  epoch: bigint;
  /** The sequence in the stream, as the server answered. */
  streamSeq: number;
}

/** Milliseconds without an answer after which an append is sent again, and more for large ones. */
const RESEND_MS = 300;
/** A slow network and disk: 10 MB/s. */
const BYTES_PER_MS = 10_000;
/** Milliseconds before an append is sent again that the server could not take. */
const RETRY_MS = 100;
/** Appends fail a little earlier than their limit, which includes the delay of a timer. */
const FAIL_MS = APPEND_TIMEOUT_MS - 20;
const CHECK_MS = 20;

const logError = (reason: string): MegacometError =>
  new MegacometError('ERR_LOG', `engine: the append failed: ${reason}`);

const keyOf = ({ node, count }: AppendId): string => `${node}:${count}`;

export class NatsAppends {
  appends = 0;
  bytes = 0;
  errors = 0;
  retries = 0;
  readonly #subject: string;
  readonly #handlers: AppendHandlers;
  /** In the order of the calls. */
  readonly #pending = new Map<string, Pending>();
  #connection: NatsConnection | null = null;
  #inbox = '';
  #timer: NodeJS.Timeout | null = null;
  /** Why appends wait: shown if they fail meanwhile. */
  #reason: string | null = 'the log is not open';

  constructor(subject: string, handlers: AppendHandlers) {
    this.#subject = subject;
    this.#handlers = handlers;
  }

  /** Listens for answers on a new connection; appends wait until resume(). */
  attach(connection: NatsConnection, inbox: string): void {
    this.#connection = connection;
    this.#inbox = inbox;
    connection.subscribe(`${inbox}.*`, {
      callback: (error, message) => {
        if (error === null) this.#takeAnswer(message);
      },
    });
  }

  /** Sends nothing more until resume(). */
  pause(reason: string): void {
    this.#reason = reason;
  }

  /** Sends all appends that are under way, in their order: the answers to earlier ones may be lost. */
  resume(): void {
    this.#reason = null;
    for (const pending of this.#pending.values()) this.#send(pending);
  }

  append(batch: Buffer, id: AppendId): Promise<number> {
    const known = this.#pending.get(keyOf(id));
    if (known !== undefined) return known.promise;
    const { promise, resolve, reject } = deferred();
    const endsAtMs = performance.now() + FAIL_MS;
    const rest = { sentAtMs: 0, epoch: 0n, streamSeq: 0 };
    const pending = { id, batch, endsAtMs, promise, resolve, reject, ...rest };
    this.#pending.set(keyOf(id), pending);
    this.#timer ??= setInterval(() => this.#check(), CHECK_MS);
    if (this.#reason === null) this.#send(pending);
    return promise;
  }

  /** The reader has an entry of this process, or of another one. */
  onEntry(id: AppendId, seq: number): void {
    const pending = this.#pending.get(keyOf(id));
    if (pending === undefined) return;
    for (const earlier of this.#pending.values()) {
      if (earlier === pending) break;
      // If it is stored later, all readers ignore it.
      if (earlier.id.node === id.node) this.#fail(earlier, 'the server lost it');
    }
    this.#complete(pending, seq);
  }

  /** Fails all appends under way. */
  failAll(reason: string): void {
    for (const pending of this.#pending.values()) this.#fail(pending, reason);
  }

  /** Resolves when no append is under way. */
  async settled(): Promise<void> {
    await Promise.allSettled([...this.#pending.values()].map(({ promise }) => promise));
  }

  #send(pending: Pending): void {
    const { id, batch } = pending;
    const { epoch, ...terms } = this.#handlers.terms();
    if (pending.epoch !== 0n) this.retries += 1;
    pending.epoch = epoch;
    pending.streamSeq = 0;
    pending.sentAtMs = performance.now();
    const headers = this.#handlers.headers();
    // The epoch is a part: a record of an epoch that had ended does not count, and is sent again.
    headers.set('Nats-Msg-Id', `${keyOf(id)}:${epoch}`);
    const reply = `${this.#inbox}.${keyOf(id)}:${epoch}`;
    const record = encodeRecord({ kind: 'entry', epoch, ...terms, id, batch });
    try {
      this.#connection?.publish(this.#subject, record, { headers, reply });
    } catch (error) {
      // The connection has ended, or the server of this one accepts less.
      const { message } = error as Error;
      if (/max_payload/.test(message)) this.#fail(pending, 'the batch is above max_payload');
    }
  }

  #takeAnswer(message: Msg): void {
    const token = message.subject.slice(this.#inbox.length + 1);
    const at = token.lastIndexOf(':');
    const pending = this.#pending.get(token.slice(0, at));
    if (pending?.epoch.toString() !== token.slice(at + 1)) return;
    if (message.data.length === 0) {
      this.#retrySoon(pending);
      this.#handlers.onSilence();
      return;
    }
    const { seq, duplicate, error } = JSON.parse(Buffer.from(message.data).toString()) as {
      readonly seq?: number;
      readonly duplicate?: boolean;
      readonly error?: { readonly code: number; readonly description: string };
    };
    if (error?.code === 503) this.#retrySoon(pending);
    else if (error !== undefined) this.#fail(pending, error.description);
    else if (seq !== undefined) this.#takeSequence(pending, seq, duplicate === true);
  }

  #takeSequence(pending: Pending, streamSeq: number, isDuplicate: boolean): void {
    pending.streamSeq = streamSeq;
    // The reader saw the first one before this append was made.
    const isRead = isDuplicate && this.#handlers.hasPassed(streamSeq);
    if (isRead) this.#complete(pending, this.#handlers.terms().base + streamSeq);
  }

  #retrySoon(pending: Pending): void {
    pending.sentAtMs = Math.min(pending.sentAtMs, performance.now() - RESEND_MS + RETRY_MS);
  }

  #check(): void {
    const nowMs = performance.now();
    let isLate = false;
    let bytes = 0;
    for (const pending of this.#pending.values()) {
      const { endsAtMs, sentAtMs, streamSeq } = pending;
      bytes += pending.batch.length;
      const isDue = streamSeq === 0 && nowMs - sentAtMs >= RESEND_MS + bytes / BYTES_PER_MS;
      if (nowMs >= endsAtMs) this.#expire(pending);
      // After one that is sent again all later ones are, which keeps their order.
      else if (this.#reason === null && (isDue || isLate)) {
        isLate = true;
        if (streamSeq === 0) this.#send(pending);
      }
    }
  }

  #expire(pending: Pending): void {
    this.#fail(pending, this.#reason ?? `no answer within ${APPEND_TIMEOUT_MS} ms`);
    if (pending.streamSeq !== 0) this.#handlers.onUnread(pending.streamSeq);
  }

  #complete(pending: Pending, seq: number): void {
    this.appends += 1;
    this.bytes += pending.batch.length;
    this.#remove(pending);
    pending.resolve(seq);
  }

  #fail(pending: Pending, reason: string): void {
    this.errors += 1;
    this.#remove(pending);
    pending.reject(logError(reason));
  }

  #remove({ id }: Pending): void {
    this.#pending.delete(keyOf(id));
    if (this.#pending.size > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }
}

function deferred(): Pick<Pending, 'promise' | 'reject' | 'resolve'> {
  let [resolve, reject]: [Pending['resolve'], Pending['reject']] = [
    () => undefined,
    () => undefined,
  ];
  const promise = new Promise<number>((onResult, onError) => {
    [resolve, reject] = [onResult, onError];
  });
  return { promise, resolve, reject };
}
