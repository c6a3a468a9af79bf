// A subscriber of the cluster suite on a plain socket. It counts messages by a byte that nothing else
// in a stream has, so that its own cost does not limit the rate of a server.
import { connect, type Socket } from 'node:net';

import { nowUs } from './pace.js';

/** The first byte of each message. */
const MARK = '@';
const MARK_CODE = MARK.charCodeAt(0);
const TIME_DIGITS = 16;
const NUMBER_DIGITS = 8;
const STAMP_LENGTH = TIME_DIGITS + NUMBER_DIGITS;
const RECONNECT_MS = 200;

/** A message of `bytes` that starts with the mark, the time and its number. */
export function numbered(number: number, bytes: number): string {
  const time = String(nowUs()).padStart(TIME_DIGITS, '0');
  return `${MARK}${time}${String(number).padStart(NUMBER_DIGITS, '0')}`.padEnd(bytes, 'x');
}

/** One message as a subscriber received it. */
export interface Arrival {
  readonly number: number;
  readonly ageUs: number;
  readonly atMs: number;
}

/** The bytes with which a client subscribes. */
export interface Greeting {
  readonly hello: (lastId: string) => string;
  /** Sent once, after the session id of Socket.IO; null for none. */
  readonly reply: Buffer | null;
}

const SESSION = '"sid"';
/** The field of an event that a client sends when it reconnects. */
const ID = 'id:';

export class ClusterSubscriber {
  readonly #port: number;
  readonly #greeting: Greeting;
  #socket: Socket | null = null;
  #isEnded = false;
  #reply: Buffer | null = null;
  #tail = '';
  #lastId = '';
  received = 0;
  lastAtMs = 0;
  /** Messages since record(); null counts only. */
  arrivals: Arrival[] | null = null;

  constructor(port: number, greeting: Greeting) {
    this.#port = port;
    this.#greeting = greeting;
    this.#open();
  }

  /** Reads each message from now on. */
  record(): Arrival[] {
    this.#tail = '';
    this.arrivals = [];
    return this.arrivals;
  }

  end(): void {
    this.#isEnded = true;
    this.#socket?.destroy();
  }

  /** Reconnects without end, as clients do. */
  #open(): void {
    if (this.#isEnded) return;
    const socket = connect(this.#port, '127.0.0.1');
    this.#socket = socket;
    this.#tail = '';
    this.#reply = this.#greeting.reply;
    socket.write(this.#greeting.hello(this.#lastId));
    socket.on('data', (chunk) => this.#read(chunk));
    socket.on('error', () => undefined);
    socket.once('close', () => setTimeout(() => this.#open(), RECONNECT_MS).unref());
  }

  #read(chunk: Buffer): void {
    if (this.#reply !== null && chunk.includes(SESSION)) {
      this.#socket?.write(this.#reply);
      this.#reply = null;
    }
    const before = this.received;
    for (let at = chunk.indexOf(MARK_CODE); at >= 0; at = chunk.indexOf(MARK_CODE, at + 1)) {
      this.received++;
    }
    if (this.received > before) this.lastAtMs = performance.now();
    if (this.arrivals !== null) this.#parse(chunk.toString('latin1'), this.arrivals);
  }

  #parse(chunk: string, arrivals: Arrival[]): void {
    const now = nowUs();
    const text = this.#tail + chunk;
    // An id that is cut is left out: then the server repeats some messages.
    const id = /^id: ?(\S+)\n/.exec(text.slice(text.lastIndexOf(ID)));
    this.#lastId = id?.[1] ?? this.#lastId;
    const parts = text.split(MARK).slice(1);
    const last = parts.at(-1) ?? '';
    const isCut = parts.length > 0 && last.length < STAMP_LENGTH;
    this.#tail = isCut ? MARK + last : '';
    for (const part of isCut ? parts.slice(0, -1) : parts) {
      const [, time, number] = /^(\d{16})(\d{8})/.exec(part) ?? [];
      if (time === undefined) continue;
      arrivals.push({
        ...{ number: Number(number), ageUs: now - Number(time), atMs: performance.now() },
      });
    }
  }
}
