// A TLS 1.3 client that may break every rule after its handshake. Node's TLSSocket shakes hands over
// a stream of the test; then the test seals and opens the records itself (RFC 8446 5, 7.1 to 7.3).
import { createCipheriv, createDecipheriv, createHmac, type CipherGCMTypes } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls';

import { closed, connect, until, type Test } from './helpers.js';

/** Types of content (RFC 8446 5.1). */
export const CHANGE_CIPHER_SPEC = 20;
export const ALERT = 21;
export const HANDSHAKE = 22;
export const DATA = 23;

const HEADER_BYTES = 5;
const TAG_BYTES = 16;
const KEY_UPDATE = 24;

/** Alerts by name (RFC 8446 6). */
const ALERTS: Readonly<Record<number, string>> = {
  0: 'close_notify',
  10: 'unexpected_message',
  20: 'bad_record_mac',
  22: 'record_overflow',
  40: 'handshake_failure',
  47: 'illegal_parameter',
  50: 'decode_error',
  51: 'decrypt_error',
  70: 'protocol_version',
  80: 'internal_error',
  109: 'missing_extension',
  120: 'no_application_protocol',
};

interface Suite {
  readonly cipher: string;
  readonly digest: string;
  readonly keyBytes: number;
}

const SUITES: Readonly<Record<string, Suite>> = {
  TLS_AES_128_GCM_SHA256: { cipher: 'aes-128-gcm', digest: 'sha256', keyBytes: 16 },
  TLS_AES_256_GCM_SHA384: { cipher: 'aes-256-gcm', digest: 'sha384', keyBytes: 32 },
  TLS_CHACHA20_POLY1305_SHA256: { cipher: 'chacha20-poly1305', digest: 'sha256', keyBytes: 32 },
};

export const SUITE_NAMES = Object.keys(SUITES);

/** The header of a record, with any type, version and length. */
export function header(type: number, length: number, version = 0x0303): Buffer {
  return Buffer.from([type, version >> 8, version & 0xff, length >> 8, length & 0xff]);
}

/** A KeyUpdate (RFC 8446 4.6.3); 1 requests one of the peer. */
export function keyUpdate(request: number): Buffer {
  return Buffer.from([KEY_UPDATE, 0, 0, 1, request]);
}

/** An alert (RFC 8446 6). */
export function alert(description: number, level = description === 0 ? 1 : 2): Buffer {
  return Buffer.from([level, description]);
}

/** Secret, keys and number of one direction. */
class Direction {
  number = 0n;
  readonly #suite: Suite;
  #secret: Buffer;

  constructor(suite: Suite, secret: Buffer) {
    this.#suite = suite;
    this.#secret = secret;
  }

  /** HKDF-Expand-Label with an empty context; one block is enough for each of its uses. */
  #expand(label: string, size: number): Buffer {
    const name = `tls13 ${label}`;
    const info = Buffer.concat([Buffer.from([0, size, name.length]), Buffer.from(`${name}\0\x01`)]);
    return createHmac(this.#suite.digest, this.#secret).update(info).digest().subarray(0, size);
  }

  /** Uses the secret after a KeyUpdate. */
  advance(): void {
    this.#secret = this.#expand('traffic upd', this.#secret.length);
    this.number = 0n;
  }

  #parameters(number: bigint): readonly [CipherGCMTypes, Buffer, Buffer, object] {
    const iv = this.#expand('iv', 12);
    const nonce = iv.readBigUInt64BE(4) ^ number;
    iv.writeBigUInt64BE(nonce, 4);
    const { cipher, keyBytes } = this.#suite;
    // The types of Node name only the AES modes here.
    const name = cipher as CipherGCMTypes;
    return [name, this.#expand('key', keyBytes), iv, { authTagLength: TAG_BYTES }];
  }

  seal(inner: Buffer): Buffer {
    const cipher = createCipheriv(...this.#parameters(this.number++));
    const head = header(DATA, inner.length + TAG_BYTES);
    cipher.setAAD(head);
    return Buffer.concat([head, cipher.update(inner), cipher.final(), cipher.getAuthTag()]);
  }

  open(record: Buffer): Buffer {
    const decipher = createDecipheriv(...this.#parameters(this.number++));
    decipher.setAAD(record.subarray(0, HEADER_BYTES));
    decipher.setAuthTag(record.subarray(-TAG_BYTES));
    return Buffer.concat([
      decipher.update(record.subarray(HEADER_BYTES, -TAG_BYTES)),
      decipher.final(),
    ]);
  }
}

/** How much of a client's handshake is sent: whole records, and bytes of the next one. */
export interface Cut {
  readonly records: number;
  readonly bytes: number;
}

/** Where a client may stop: before its first byte, within each of its messages, and after each. */
export const HANDSHAKE_CUTS: readonly Cut[] = [
  { records: 0, bytes: 0 },
  { records: 0, bytes: 1 },
  { records: 0, bytes: 5 },
  { records: 0, bytes: 100 },
  { records: 1, bytes: 0 },
  { records: 1, bytes: 3 },
  { records: 2, bytes: 0 },
  { records: 2, bytes: 40 },
];

/** The bytes of these records, and of a part of the next one. */
function lengthOf(bytes: Buffer, cut: Cut): number {
  let at = 0;
  for (let record = 0; record < cut.records && at + HEADER_BYTES <= bytes.length; record++) {
    at += HEADER_BYTES + bytes.readUInt16BE(at + 3);
  }
  return Math.min(at + cut.bytes, bytes.length);
}

function hasRecord(type: number, bytes: Buffer): boolean {
  for (let at = 0; at + HEADER_BYTES <= bytes.length;) {
    if (bytes[at] === type) return true;
    at += HEADER_BYTES + bytes.readUInt16BE(at + 3);
  }
  return false;
}

/** Passes a handshake to a socket, until the client has sent its Finished. */
class Passage extends Duplex {
  readonly #socket: Socket;
  readonly #cut: Cut | undefined;
  #made = Buffer.alloc(0);
  #sentBytes = 0;
  /** Bytes of the server after the handshake: it sends none before it has the client's Finished. */
  readonly later: Buffer[] = [];

  constructor(socket: Socket, cut?: Cut) {
    super();
    this.#socket = socket;
    this.#cut = cut;
    socket.on('data', (bytes: Buffer) => {
      if (this.isDone) this.later.push(bytes);
      else this.push(bytes);
    });
  }

  /** The first protected record of a client has its Finished. */
  get isDone(): boolean {
    return hasRecord(DATA, this.#made);
  }

  override _read(): void {
    // Bytes are pushed as they arrive.
  }

  override _write(bytes: Buffer, _encoding: string, done: () => void): void {
    this.#made = Buffer.concat([this.#made, bytes]);
    const end = this.#cut === undefined ? this.#made.length : lengthOf(this.#made, this.#cut);
    const part = this.#made.subarray(this.#sentBytes, end);
    this.#sentBytes = end;
    this.#socket.write(part);
    done();
  }
}

/** Node's client over a passage. */
function shake(passage: Passage, options: ConnectionOptions): TLSSocket {
  const client = connectTls({ socket: passage, rejectUnauthorized: false, ...options });
  client.on('error', () => undefined);
  return client;
}

/** A socket over which a client begins a handshake, and stops. */
export async function beginHandshake(test: Test, port: number, cut: Cut): Promise<Socket> {
  const socket = await connect(port);
  const client = shake(new Passage(socket, cut), {});
  socket.on('end', () => socket.end());
  test.teardown(() => {
    client.destroy();
    socket.destroy();
  });
  return socket;
}

/** The two secrets that the client logs. */
function secretsOf(lines: string): { readonly ours: Buffer; readonly theirs: Buffer } {
  const find = (label: string): Buffer => {
    const digits = new RegExp(`^${label} \\w+ (\\w+)$`, 'm').exec(lines)?.[1] ?? '';
    return Buffer.from(digits, 'hex');
  };
  return { ours: find('CLIENT_TRAFFIC_SECRET_0'), theirs: find('SERVER_TRAFFIC_SECRET_0') };
}

/** A client whose records the test makes. */
export class TlsPeer {
  readonly #socket: Socket;
  readonly #read: Direction;
  readonly write: Direction;
  #bytes = Buffer.alloc(0);
  /** The records of the server in words, without session tickets: `data a`, `alert close_notify`. */
  readonly told: string[] = [];
  /** Sizes of the records that the server sent, without their header. */
  readonly sizes: number[] = [];
  isEnded = false;

  /** The first traffic secrets: of the client, and of the server. */
  readonly secrets: readonly [Buffer, Buffer];

  private constructor(socket: Socket, suite: Suite, lines: string, first: readonly Buffer[]) {
    const { ours, theirs } = secretsOf(lines);
    this.secrets = [ours, theirs];
    this.#socket = socket;
    this.write = new Direction(suite, ours);
    this.#read = new Direction(suite, theirs);
    for (const bytes of first) this.#take(bytes);
    socket.on('data', (bytes: Buffer) => this.#take(bytes));
    for (const event of ['end', 'close']) socket.on(event, () => (this.isEnded = true));
  }

  /** Shakes hands. */
  static async open(test: Test, port: number, options: ConnectionOptions = {}): Promise<TlsPeer> {
    const socket = await connect(port);
    test.teardown(() => void socket.destroy());
    const passage = new Passage(socket);
    const client = shake(passage, options);
    let lines = '';
    client.on('keylog', (line: Buffer) => (lines += line.toString()));
    await once(client, 'secureConnect');
    await until('the Finished of the client', () => passage.isDone);
    const name = client.getCipher().standardName;
    const suite = SUITES[name];
    if (suite === undefined) throw new Error(`${name} is not a suite of TLS 1.3`);
    return new TlsPeer(socket, suite, lines, passage.later);
  }

  #take(bytes: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, bytes]);
    while (this.#bytes.length >= HEADER_BYTES) {
      const end = HEADER_BYTES + this.#bytes.readUInt16BE(3);
      if (this.#bytes.length < end) return;
      this.#open(this.#bytes.subarray(0, end));
      this.#bytes = this.#bytes.subarray(end);
    }
  }

  #open(record: Buffer): void {
    if (record.readUIntBE(0, 3) !== 0x170303) return void this.told.push('a wrong header');
    this.sizes.push(record.length - HEADER_BYTES);
    const inner = this.#read.open(record);
    const end = inner.findLastIndex((byte) => byte !== 0);
    this.#note(inner[end] ?? 0, inner.subarray(0, end));
  }

  #note(type: number, content: Buffer): void {
    if (type === DATA) {
      this.told.push(`data ${content.toString('latin1')}`);
    } else if (type === ALERT) {
      this.told.push(`alert ${ALERTS[content[1] ?? -1] ?? String(content[1])}`);
    } else if (type === HANDSHAKE && content[0] === KEY_UPDATE) {
      this.told.push(`KeyUpdate ${content[4] ?? 'cut'}`);
      this.#read.advance();
    } else if (type !== HANDSHAKE || content[0] !== 4) {
      this.told.push(`type ${type}`);
    }
  }

  /** All data that the server sent. */
  get data(): string {
    const parts = this.told.filter((word) => word.startsWith('data '));
    return parts.map((word) => word.slice(5)).join('');
  }

  /** One record with this content, and zeros after its type. */
  seal(type: number, content: Buffer | string = '', padding = 0): Buffer {
    const end = Buffer.concat([Buffer.from([type]), Buffer.alloc(padding)]);
    return this.write.seal(Buffer.concat([Buffer.from(content), end]));
  }

  /** A KeyUpdate; later records have the next keys. */
  sealUpdate(request: number): Buffer {
    const record = this.seal(HANDSHAKE, keyUpdate(request));
    this.write.advance();
    return record;
  }

  /** Sends bytes in one segment, as they are. */
  say(...parts: readonly Buffer[]): void {
    if (!this.#socket.destroyed) this.#socket.write(Buffer.concat(parts));
  }

  /** Sends bytes one by one. */
  async dribble(...parts: readonly Buffer[]): Promise<void> {
    for (const byte of Buffer.concat(parts)) {
      if (this.#socket.destroyed) return;
      this.#socket.write(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Sends FIN, and no close_notify. */
  finish(): void {
    this.#socket.end();
  }

  /** Reads no more; `resume` reads on. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** Waits for the end of the server. */
  async ended(): Promise<void> {
    await until('the end of the server', () => this.isEnded);
    this.#socket.end();
    if (!this.#socket.closed) await closed(this.#socket);
  }

  destroy(): void {
    this.#socket.destroy();
  }
}
