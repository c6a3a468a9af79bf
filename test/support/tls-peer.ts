// A TLS client of Node that also sees the records of the server as they are sent.
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { connect as connectTls, type SecureVersion, type TLSSocket } from 'node:tls';

import { connect, until, type Test } from './helpers.js';

export const VERSIONS = ['TLSv1.2', 'TLSv1.3'] as const;

const HEADER_BYTES = 5;
const ALERT = 21;
/** A protected alert of TLS 1.3: two bytes, the type and the tag (RFC 8446 5.2). */
const SEALED_ALERT_BYTES = 19;

interface PeerOptions {
  readonly port: number;
  readonly ca: string;
  /** Sent before the handshake. */
  readonly header?: string;
  readonly version?: SecureVersion;
}

/** Passes bytes on both ways, and keeps those of the server. */
class Recorder extends Duplex {
  received = Buffer.alloc(0);
  readonly #socket: Socket;

  constructor(socket: Socket) {
    super({ allowHalfOpen: true });
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.received = Buffer.concat([this.received, chunk]);
      this.push(chunk);
    });
    socket.on('end', () => this.push(null));
    socket.on('close', () => this.destroy());
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#socket.write(chunk, () => {
      done();
    });
  }

  override _final(done: () => void): void {
    this.#socket.end(done);
  }

  override _destroy(_error: Error | null, done: () => void): void {
    this.#socket.destroy();
    done();
  }
}

export class TlsPeer {
  /** The data that have arrived. */
  text = '';
  isClosed = false;
  readonly #isOld: boolean;
  readonly #recorder: Recorder;
  readonly #tls: TLSSocket;

  private constructor(recorder: Recorder, tls: TLSSocket, isOld: boolean) {
    this.#isOld = isOld;
    this.#recorder = recorder;
    this.#tls = tls;
    tls.on('error', () => undefined);
    tls.on('data', (chunk: Buffer) => (this.text += chunk.toString('latin1')));
    recorder.on('end', () => {
      this.isClosed = true;
      tls.end();
    });
    recorder.on('close', () => (this.isClosed = true));
  }

  /** Connects, and sends `request` when the handshake is done. */
  static async open(test: Test, options: PeerOptions, request = ''): Promise<TlsPeer> {
    const { port, ca, header = '', version = 'TLSv1.3' } = options;
    const socket = await connect(port);
    test.teardown(() => {
      socket.destroy();
    });
    if (header !== '') socket.write(header);
    const recorder = new Recorder(socket);
    const tls = connectTls({ socket: recorder, ca, host: '127.0.0.1', maxVersion: version });
    const peer = new TlsPeer(recorder, tls, version === 'TLSv1.2');
    await once(tls, 'secureConnect');
    tls.write(request);
    return peer;
  }

  write(text: string): void {
    this.#tls.write(text);
  }

  close(): void {
    this.#tls.destroy();
    this.#recorder.destroy();
  }

  /** Waits until the server closes. Returns the data. */
  async toEnd(): Promise<string> {
    await until('the end of the server', () => this.isClosed);
    return this.text;
  }

  /** Whether the last record of the server is an alert, as close_notify is. */
  get endsWithAlert(): boolean {
    const { received } = this.#recorder;
    let [at, type, length] = [0, 0, 0];
    while (at < received.length) {
      type = received.readUInt8(at);
      length = received.readUInt16BE(at + 3);
      at += HEADER_BYTES + length;
    }
    return at === received.length && (this.#isOld ? type === ALERT : length === SEALED_ALERT_BYTES);
  }
}
