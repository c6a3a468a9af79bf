// The keys of session tickets (RFC 8446 4.6.1). The manager makes them, so that a client resumes at
// any worker, also at one that replaced a dead one.
import { hkdfSync, randomBytes } from 'node:crypto';

import type { Clock, Timer } from '../base/clock.js';
import type { Frames } from '../ipc/frames.js';

/** Milliseconds for which a key makes tickets; for as long before and after it is accepted. */
export const TICKET_KEY_MS = 12 * 3_600_000;
/** Milliseconds between two looks at the clock, which others may set. */
const LOOK_MS = 60_000;
/** A name of 16 bytes, 32 for AES-256, 32 for HMAC-SHA-256: TicketKey in native/tls/. */
const KEY_BYTES = 80;

/** The present key, the one before, and the next. */
type Keys = [present: Buffer, before: Buffer, next: Buffer];

export interface TicketKeyParts {
  readonly clock: Clock;
  /** Milliseconds of the epoch. */
  readonly wallMs: () => number;
  /** Gets the frame for the workers after each change. */
  readonly onChange: (frame: Frames['TlsTickets']) => void;
}

/** The key of a period, the same in every server with the secret. */
function derive(secret: Buffer, period: number): Buffer {
  const info = `megacomet-ts TLS ticket key ${period}`;
  return Buffer.from(hkdfSync('sha256', secret, '', info, KEY_BYTES));
}

const deriveAll = (secret: Buffer, period: number): Keys => [
  derive(secret, period),
  derive(secret, period - 1),
  derive(secret, period + 1),
];

const makeAll = (): Keys => [
  randomBytes(KEY_BYTES),
  randomBytes(KEY_BYTES),
  randomBytes(KEY_BYTES),
];

export class TicketKeys {
  readonly #parts: TicketKeyParts;
  #secret: Buffer | null;
  #keys: Keys;
  /** Of the present key: since the start, or with a secret since the epoch. */
  #period: number;
  readonly #startedMs: number;
  #timer: Timer | undefined;

  /** @param secret - Null for random keys, which no other server has. */
  constructor(secret: Buffer | null, parts: TicketKeyParts) {
    this.#parts = parts;
    this.#secret = secret;
    this.#startedMs = parts.clock.nowMs();
    this.#period = this.#periodNow();
    this.#keys = secret === null ? makeAll() : deriveAll(secret, this.#period);
  }

  get frame(): Frames['TlsTickets'] {
    return { keys: Buffer.concat(this.#keys) };
  }

  /** Begins to replace the keys in time. */
  start(): void {
    this.#timer = this.#parts.clock.every(LOOK_MS, () => {
      this.#look();
    });
    this.#timer.unref();
  }

  /** Another secret of the file: its keys replace the present ones at once. */
  setSecret(secret: Buffer): void {
    if (this.#secret?.equals(secret) === true) return;
    this.#secret?.fill(0);
    this.#secret = secret;
    this.#period = this.#periodNow();
    this.#replace(deriveAll(secret, this.#period));
  }

  /** Erases the keys. */
  close(): void {
    this.#timer?.cancel();
    this.#secret?.fill(0);
    for (const key of this.#keys) key.fill(0);
  }

  #periodNow(): number {
    const { clock, wallMs } = this.#parts;
    const ms = this.#secret === null ? clock.nowMs() - this.#startedMs : wallMs();
    return Math.floor(ms / TICKET_KEY_MS);
  }

  #look(): void {
    const period = this.#periodNow();
    if (period === this.#period) return;
    const isNext = period === this.#period + 1;
    this.#period = period;
    if (this.#secret !== null) this.#replace(deriveAll(this.#secret, period));
    // After a long sleep of the machine all keys are too old.
    else this.#replace(isNext ? this.#advanced() : makeAll());
  }

  #advanced(): Keys {
    const [present, , next] = this.#keys;
    return [Buffer.from(next), Buffer.from(present), randomBytes(KEY_BYTES)];
  }

  #replace(keys: Keys): void {
    for (const key of this.#keys) key.fill(0);
    this.#keys = keys;
    this.#parts.onChange(this.frame);
  }
}
