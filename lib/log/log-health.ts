// Whether a log can be read and written. Its reader gets one break for all causes together.
import type { LogBreak, LogReader } from './log.js';

/** Milliseconds between two tries of a disk that failed. */
export const RETRY_MS = 250;

export class LogHealth {
  reconnects = 0;
  breaks = 0;
  readonly #causes = new Map<'read' | 'write', string>();
  #reader: LogReader | null = null;

  set reader(reader: LogReader) {
    this.#reader = reader;
    const [reason] = this.#causes.values();
    if (reason !== undefined) reader.onBreak({ kind: 'down', reason });
  }

  /** The reason why the log cannot be used in a way; undefined if it can. */
  reasonOf(way: 'read' | 'write'): string | undefined {
    return this.#causes.get(way);
  }

  failed(way: 'read' | 'write', reason: string): void {
    const wasUp = this.#causes.size === 0;
    this.#causes.set(way, reason);
    if (!wasUp) return;
    this.#reader?.onBreak({ kind: 'down', reason });
  }

  works(way: 'read' | 'write'): void {
    if (!this.#causes.delete(way) || this.#causes.size > 0) return;
    this.reconnects += 1;
    this.#reader?.onBreak({ kind: 'up' });
  }

  /** Reports messages that are gone, or a new epoch. */
  broke(broken: LogBreak): void {
    this.breaks += 1;
    this.#reader?.onBreak(broken);
  }
}
