// A door to a server with TLS for clients that speak plain text, so that tests of plain clients are
// tests of TLS too. The connections take turns with three ways of sending: each byte in a record of
// its own, records as long as they can be, and records that are cut anywhere into segments.
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { connect as connectTls, type TLSSocket } from 'node:tls';

import type { Test } from 'tap';

import { Authority } from '../../bench/certificates.js';
import type { Route } from './comet-world.js';
import { seededRandom, type Random } from './random.js';

/** Bytes of a chunk that are sent one by one: more would take minutes. */
const SINGLE_BYTES_MAX = 200;
/** Bytes of a TCP segment of Ethernet. */
const SEGMENT_BYTES = 1460;

const breath = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Passes the bytes of a socket on in pieces of any size, in both directions. */
class Cutter extends Duplex {
  readonly #socket: Socket;
  readonly #random: Random;

  constructor(socket: Socket, random: Random) {
    super();
    this.#socket = socket;
    this.#random = random;
    socket.on('data', (bytes: Buffer) => {
      for (const piece of this.#cut(bytes)) this.push(piece);
    });
    socket.on('end', () => this.push(null));
    socket.on('error', (error) => this.destroy(error));
    socket.on('close', () => this.destroy());
  }

  *#cut(bytes: Buffer): Generator<Buffer> {
    for (let at = 0; at < bytes.length;) {
      const size = 1 + Math.floor(this.#random() ** 3 * SEGMENT_BYTES);
      yield bytes.subarray(at, at + size);
      at += size;
    }
  }

  override _read(): void {
    // Bytes are pushed as they arrive.
  }

  async #send(bytes: Buffer): Promise<void> {
    for (const piece of this.#cut(bytes)) {
      if (!this.#socket.destroyed) this.#socket.write(piece);
      await breath();
    }
  }

  override _write(bytes: Buffer, _encoding: string, done: () => void): void {
    void this.#send(bytes).then(done);
  }

  override _final(done: () => void): void {
    this.#socket.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }
}

type Way = 'single bytes' | 'long records' | 'cut records';
const WAYS: readonly Way[] = ['single bytes', 'long records', 'cut records'];

function write(socket: TLSSocket, bytes: Buffer): Promise<unknown> {
  return new Promise((resolve) => {
    if (socket.destroyed) resolve(undefined);
    else socket.write(bytes, resolve);
  });
}

/** Sends all that the plain client sends, then its end. */
async function sendAll(plain: Socket, sealed: TLSSocket, way: Way): Promise<void> {
  for await (const chunk of plain.iterator({ destroyOnReturn: false })) {
    const bytes = chunk as Buffer;
    const singles = way === 'single bytes' ? Math.min(SINGLE_BYTES_MAX, bytes.length) : 0;
    for (let at = 0; at < singles; at++) await write(sealed, bytes.subarray(at, at + 1));
    if (singles < bytes.length) await write(sealed, bytes.subarray(singles));
  }
  sealed.end();
}

function pass(plain: Socket, port: number, ca: string, way: Way, random: Random): void {
  const socket = connect(port, '127.0.0.1').setNoDelay(true);
  const isCut = way === 'cut records';
  const sealed = connectTls({
    socket: isCut ? new Cutter(socket, random) : socket,
    ca,
    host: '127.0.0.1',
  });
  sealed.on('data', (bytes: Buffer) => plain.write(bytes));
  sealed.on('end', () => plain.end());
  sealed.on('error', () => plain.destroy());
  // The client may go on sending: its bytes are read, as a lingering close does.
  sealed.on('close', () => plain.end());
  plain.on('error', () => sealed.destroy());
  plain.on('close', () => sealed.destroy());
  sendAll(plain, sealed, way).catch(() => sealed.destroy());
}

/** Opens a door to a port with TLS; returns the port of the door. */
async function bridgeToTls(test: Test, port: number, ca: string): Promise<number> {
  const random = seededRandom(test);
  const sockets = new Set<Socket>();
  let count = 0;
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (plain) => {
    sockets.add(plain.on('close', () => sockets.delete(plain)));
    const way = WAYS[count++ % WAYS.length] ?? 'cut records';
    pass(plain, port, ca, way, random);
  });
  test.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** The route to servers with TLS, through a door. */
export function routeOverTls(): Route {
  const authority = new Authority();
  const { cert, key } = authority.certify();
  return {
    options: { tlsCert: [cert], tlsKey: [key] },
    open: (test, port) => bridgeToTls(test, port, authority.cert),
  };
}
