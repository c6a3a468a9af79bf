// The simplest Log: entries in an array. It shows that the tests of all logs can be passed.
import { MegacometError } from '../../lib/base/errors.js';
import type {
  AppendId,
  Log,
  LogBreak,
  LogCounters,
  LogEntry,
  LogReader,
  LogStart,
} from '../../lib/log/log.js';

/** The stored sequence, which outlives its logs. */
export class MemoryStore {
  epoch = 1n;
  forgotten = 0;
  entries: LogEntry[] = [];
  isDown = false;
  /** Its clock, in milliseconds since 1970. */
  now = (): number => Date.now();
  readonly logs = new Set<MemoryLog>();

  get head(): number {
    return this.entries.at(-1)?.seq ?? this.forgotten;
  }

  /** Reports to the readers of all open logs. */
  tell(broken: LogBreak): void {
    for (const log of this.logs) log.onBreak(broken);
  }

  forget(upTo: number): number {
    this.entries = this.entries.filter(({ seq }) => seq > upTo);
    this.forgotten = upTo;
    return upTo;
  }

  interrupt(): () => void {
    this.isDown = true;
    this.tell({ kind: 'down', reason: 'a test' });
    return () => {
      this.isDown = false;
      this.tell({ kind: 'up' });
    };
  }
}

export class MemoryLog implements Log {
  readonly name = 'memory';
  readonly counters = {
    appends: 0,
    appendBytes: 0,
    appendErrors: 0,
    appendRetries: 0,
    entriesRead: 0,
    reconnects: 0,
    breaks: 0,
  } satisfies LogCounters;
  #reader: LogReader | null = null;
  #position = 0;

  constructor(private readonly store: MemoryStore) {}

  open(): Promise<LogStart> {
    const { epoch, forgotten, head } = this.store;
    this.store.logs.add(this);
    return Promise.resolve({ epoch, first: forgotten + 1, head, nowMs: this.store.now() });
  }

  append(batch: Buffer, id: AppendId, applied: number): Promise<number> {
    const { store } = this;
    if (store.isDown || !store.logs.has(this)) {
      this.counters.appendErrors += 1;
      return Promise.reject(new MegacometError('ERR_LOG', 'memory: the log is closed'));
    }
    const first = store.entries.find(
      (entry) => entry.id.node === id.node && entry.id.count === id.count,
    );
    if (first !== undefined) return Promise.resolve(first.seq);
    const lastSeq = store.head;
    if (applied > lastSeq) {
      store.epoch += 1n;
      store.tell({ kind: 'epoch', epoch: store.epoch, lastSeq });
    }
    const atMs = Math.max(store.now(), store.entries.at(-1)?.atMs ?? 0);
    const entry = { seq: Math.max(lastSeq, applied) + 1, atMs, id, batch };
    store.entries.push(entry);
    this.counters.appends += 1;
    this.counters.appendBytes += batch.length;
    for (const log of store.logs) log.deliver();
    return Promise.resolve(entry.seq);
  }

  read(after: number, reader: LogReader): void {
    this.#reader = reader;
    this.#position = after;
    const { forgotten } = this.store;
    if (after < forgotten) this.onBreak({ kind: 'gap', after, to: forgotten });
    this.deliver();
  }

  onBreak(broken: LogBreak): void {
    if (broken.kind === 'up') this.counters.reconnects += 1;
    if (broken.kind === 'gap' || broken.kind === 'epoch') this.counters.breaks += 1;
    this.#reader?.onBreak(broken);
  }

  deliver(): void {
    const entries = this.store.entries.filter(({ seq }) => seq > this.#position);
    if (this.#reader === null || entries.length === 0) return;
    this.#position = this.store.head;
    this.counters.entriesRead += entries.length;
    this.#reader.onEntries(entries);
  }

  close(): Promise<void> {
    this.store.logs.delete(this);
    return Promise.resolve();
  }
}
