// A WebSocket client for tests that may break every rule: frames are built bit by bit, and the
// answers of the server are described in words, such as `text hello` and `close 1002`.
import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';

import type { Test } from 'tap';
import WebSocket from 'ws';

/** The key of RFC 6455 1.3, and the server's answer to it. */
export const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
export const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=';

/** The end of a flush, which a frame omits (RFC 7692 7.2.1). */
const TAIL = Buffer.from([0, 0, 0xff, 0xff]);
/** Longer than any answer takes on a busy machine. */
const LIMIT_MS = 60_000;

export const TEXT = 1;
export const BINARY = 2;
export const CLOSE = 8;
export const PING = 9;
export const PONG = 10;

export interface FrameOptions {
  readonly isFinal?: boolean;
  /** The three reserved bits, 4 for RSV1. */
  readonly reserved?: number;
  /** Null leaves the payload unmasked. */
  readonly mask?: Buffer | null;
  /** Extra bytes of the length field; by default the fewest. */
  readonly lengthBytes?: 0 | 2 | 8;
  /** A wrong length for the header. */
  readonly length?: bigint;
}

/** One frame of a client, valid or not. */
export function frame(
  opcode: number,
  payload: Buffer | string = '',
  options: FrameOptions = {},
): Buffer {
  const bytes = Buffer.from(payload);
  const length = options.length ?? BigInt(bytes.length);
  const fewest = length < 126n ? 0 : length < 65_536n ? 2 : 8;
  const lengthBytes = options.lengthBytes ?? fewest;
  const mask = options.mask === undefined ? Buffer.from([0x37, 0xfa, 0x21, 0x3d]) : options.mask;
  const first = ((options.isFinal ?? true) ? 0x80 : 0) | ((options.reserved ?? 0) << 4) | opcode;
  const code = lengthBytes === 0 ? Number(length) : lengthBytes === 2 ? 126 : 127;
  const wide = Buffer.alloc(8);
  wide.writeBigUInt64BE(length);
  const masked = mask === null ? bytes : bytes.map((byte, at) => byte ^ (mask[at % 4] ?? 0));
  return Buffer.concat([
    Buffer.from([first, (mask === null ? 0 : 0x80) | code]),
    wide.subarray(8 - lengthBytes),
    mask ?? Buffer.alloc(0),
    masked,
  ]);
}

export function closeFrame(code: number, reason: Buffer | string = ''): Buffer {
  return frame(CLOSE, Buffer.concat([Buffer.from([code >> 8, code & 0xff]), Buffer.from(reason)]));
}

/** A message as one frame per part. */
export function fragments(
  opcode: number,
  parts: readonly (Buffer | string)[],
  reserved = 0,
): Buffer[] {
  return parts.map((part, at) =>
    frame(at === 0 ? opcode : 0, part, {
      isFinal: at === parts.length - 1,
      reserved: at === 0 ? reserved : 0,
    }),
  );
}

export function deflated(data: Buffer | string, options: object = {}): Buffer {
  const bytes = deflateRawSync(data, { finishFlush: constants.Z_SYNC_FLUSH, ...options });
  return bytes.subarray(0, -TAIL.length);
}

/** The head of a handshake; null omits a line, and `more` lines follow. */
export function handshake(
  path: string,
  lines: Readonly<Record<string, string | null>> = {},
  more: readonly string[] = [],
): string {
  const all: Record<string, string | null> = {
    Host: 'a',
    Upgrade: 'websocket',
    Connection: 'Upgrade',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': KEY,
    ...lines,
  };
  const written = Object.entries(all).flatMap(([name, value]) =>
    value === null ? [] : [`${name}: ${value}`],
  );
  return [`GET ${path} HTTP/1.1`, ...written, ...more, '', ''].join('\r\n');
}

/** Describes long data by its length and end. */
export function shown(data: Buffer): string {
  const text = data.toString('latin1');
  return text.length <= 60 ? text : `${text.length} of ${text.slice(-8)}`;
}

const NAMES: Readonly<Record<number, string>> = {
  [TEXT]: 'text',
  [BINARY]: 'binary',
  [CLOSE]: 'close',
  [PING]: 'ping',
  [PONG]: 'pong',
};

/** Describes a frame of the server, which never masks and here never sends fragments. */
function describe(first: number, payload: Buffer, windowBits: number): string {
  const opcode = first & 0xf;
  const isDeflated = (first & 0x40) !== 0;
  const name = NAMES[opcode];
  if (name === undefined || (first & 0xb0) !== 0x80) return `a broken frame ${first}`;
  if (opcode === CLOSE) return `close ${payload.length < 2 ? 'bare' : payload.readUInt16BE()}`;
  if (!isDeflated) return `${name} ${shown(payload)}`;
  const options = { windowBits, finishFlush: constants.Z_SYNC_FLUSH };
  return `deflated ${name} ${shown(inflateRawSync(Buffer.concat([payload, TAIL]), options))}`;
}

/** Parses and describes frames, including an incomplete frame at the end. */
function describeAll(bytes: Buffer, windowBits: number): string[] {
  const told: string[] = [];
  let at = 0;
  while (at < bytes.length) {
    const [first = 0, second = 0] = bytes.subarray(at, at + 2);
    const lengthBytes = second === 127 ? 8 : second === 126 ? 2 : 0;
    const start = at + 2 + lengthBytes;
    if (second > 127 || start > bytes.length) return [...told, 'half a frame'];
    const length = lengthBytes === 0 ? second : Number(`0x${bytes.toString('hex', at + 2, start)}`);
    if (start + length > bytes.length) return [...told, 'half a frame'];
    told.push(describe(first, bytes.subarray(start, start + length), windowBits));
    at = start + length;
  }
  return told;
}

export interface Conversation {
  /** The head of the answer without its empty line. */
  readonly head: string;
  readonly told: readonly string[];
  /** Whether the server closed the connection. */
  readonly isEnded: boolean;
}

/** Sends the parts one by one; describes the frames that arrive until the server closes. */
export async function converse(
  port: number,
  parts: readonly (Buffer | string)[],
  windowBits = 15,
): Promise<Conversation> {
  const socket = createConnection(port, '127.0.0.1').setNoDelay(true);
  const came: Buffer[] = [];
  let isEnded = false;
  socket.on('data', (bytes) => came.push(bytes));
  socket.on('end', () => (isEnded = true));
  socket.on('error', () => (isEnded = true));
  const closed = new Promise((resolve) => socket.on('close', resolve));
  const timer = setTimeout(() => socket.destroy(), LIMIT_MS);
  await once(socket, 'connect');
  for (const part of parts) {
    // Stops sending once the server has closed, because more bytes would cause a reset.
    if (!socket.writable) break;
    socket.write(part);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await closed;
  clearTimeout(timer);
  const bytes = Buffer.concat(came);
  const end = bytes.indexOf('\r\n\r\n');
  const head = bytes.toString('latin1', 0, Math.max(end, 0));
  const isOpened = head.startsWith('HTTP/1.1 101 ');
  return { head, told: isOpened ? describeAll(bytes.subarray(end + 4), windowBits) : [], isEnded };
}

/** A client that sends bytes on request, answers each ping and records the received frames. */
export class LivePeer {
  readonly #socket: Socket;
  #bytes = Buffer.alloc(0);
  #answered = 0;
  isEnded = false;

  private constructor(port: number) {
    this.#socket = createConnection(port, '127.0.0.1').setNoDelay(true);
    this.#socket.on('error', () => undefined);
    this.#socket.on('end', () => (this.isEnded = true));
    this.#socket.on('data', (bytes) => {
      this.#bytes = Buffer.concat([this.#bytes, bytes]);
      const pings = this.told.filter((word) => word.startsWith('ping')).length;
      for (; this.#answered < pings; this.#answered++) this.say(frame(PONG));
    });
  }

  static async open(test: Test, port: number, path: string): Promise<LivePeer> {
    const peer = new LivePeer(port);
    test.teardown(() => peer.#socket.destroy());
    await once(peer.#socket, 'connect');
    peer.#socket.write(handshake(path));
    await once(peer.#socket, 'data');
    return peer;
  }

  /** Sends bytes while the connection is open. */
  say(bytes: Buffer): void {
    if (!this.isEnded) this.#socket.write(bytes);
  }

  get told(): readonly string[] {
    return describeAll(this.#bytes.subarray(this.#bytes.indexOf('\r\n\r\n') + 4), 15);
  }

  /** The reason of the close frame, which is the last frame. */
  get reason(): string {
    const at = this.#bytes.lastIndexOf(Buffer.of(0x88));
    return at === -1 ? '' : this.#bytes.toString('utf8', at + 4);
  }

  close(): void {
    this.#socket.destroy();
  }
}

/** A client of the comet socket that records each text that it receives, in order. */
export class CommandClient {
  readonly #socket: WebSocket;
  /** Answers to commands, in order of arrival. */
  readonly told: string[] = [];
  /** Channels of the messages. */
  readonly messages: string[] = [];
  /** Answers, and the data of messages, in order of arrival. */
  readonly all: string[] = [];
  /** The close code. */
  readonly closed: Promise<number>;

  constructor(port: number, path: string) {
    this.#socket = new WebSocket(`ws://127.0.0.1:${port}${path}`);
    this.#socket.on('error', () => undefined);
    this.closed = new Promise((resolve) => this.#socket.on('close', resolve));
    this.#socket.on('message', (bytes: Buffer) => {
      const text = bytes.toString();
      const note = JSON.parse(text) as { type: string; channel: string; data: string };
      const isMessage = note.type === 'message';
      if (isMessage) this.messages.push(note.channel);
      else this.told.push(text);
      this.all.push(isMessage ? note.data : text);
    });
  }

  async open(): Promise<void> {
    await once(this.#socket, 'open');
  }

  say(text: string): void {
    this.#socket.send(text);
  }

  close(): void {
    this.#socket.terminate();
  }
}
