// Answers of an application that count for a time. They are kept by a hash of the hook request, so
// that no credential of a client stays in memory.
import { createHash } from 'node:crypto';

import type { AuthorizeRequest } from '../base/authorize.js';
import type { Decision } from './authorize-answer.js';

/** Answers kept: as many as a worker remembers tokens. */
const ENTRIES_MAX = 65_536;
/** Bytes of the answers, as far as their length varies. */
const BYTES_MAX = 16 * 1024 * 1024;

/** An answer that counts for a time. */
export interface KeptDecision {
  readonly decision: Decision;
  /** The user that the hook request had; empty for none. */
  readonly user: string;
  readonly endsAtMs: number;
}

interface Entry extends KeptDecision {
  readonly bytes: number;
}

/** The fields on which the answer depends: neither address nor transport. */
export function keyOf({
  action,
  channels,
  user,
  token,
  headers,
  cookies,
}: AuthorizeRequest): string {
  const parts = [action, user, token, [...channels].sort(), headers, cookies];
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64');
}

function bytesOf({ reason, user, info, ...lists }: Decision): number {
  const { subscribe, publish, presence, history, channels } = lists;
  const names = [subscribe, publish, presence, history, channels].flat();
  return [reason, user, info, ...names].reduce((sum, text) => sum + text.length + 16, 0);
}

export class DecisionCache {
  /** In the order of their age. */
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;

  get size(): number {
    return this.#entries.size;
  }

  /** The answer that still counts; undefined for none. */
  find(key: string, nowMs: number): Decision | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    if (nowMs < entry.endsAtMs) return entry.decision;
    this.#drop(key, entry);
    return undefined;
  }

  /** Keeps an answer; the oldest ones give way. */
  add(key: string, kept: KeptDecision): void {
    const known = this.#entries.get(key);
    if (known !== undefined) this.#drop(key, known);
    const bytes = bytesOf(kept.decision) + kept.user.length;
    this.#entries.set(key, { ...kept, bytes });
    this.#bytes += bytes;
    for (const [oldest, entry] of this.#entries) {
      if (this.#entries.size <= ENTRIES_MAX && this.#bytes <= BYTES_MAX) return;
      this.#drop(oldest, entry);
    }
  }

  /** Forgets the answers that name a user, and those to hook requests that named it. */
  forgetUser(user: string): void {
    for (const [key, entry] of this.#entries) {
      if (entry.decision.user === user || entry.user === user) this.#drop(key, entry);
    }
  }

  #drop(key: string, entry: Entry): void {
    this.#entries.delete(key);
    this.#bytes -= entry.bytes;
  }
}
