// A client of the tests of limits: a plain socket from an address of its own on this machine, which
// sends given bytes and keeps those that it receives.
import { createConnection, type Socket } from 'node:net';

import type { Test } from 'tap';

import { REQUESTS, type Endpoint, type World } from './comet-world.js';
import { until } from './helpers.js';

export type Transport = keyof typeof REQUESTS;
export const TRANSPORTS = Object.keys(REQUESTS) as readonly Transport[];

export interface PeerOptions {
  /** Default 127.0.0.1. */
  readonly from?: string;
  /** A PROXY header. */
  readonly proxy?: Buffer | string;
  /** Default sse. */
  readonly transport?: Transport;
  /** Fields of the request, each with its line end. */
  readonly fields?: string;
  /** Query parameters after the channel, such as `&token=…`. */
  readonly query?: string;
}

/** A request of a transport for channel a. */
export function requestOf({ transport = 'sse', fields = '', query = '' }: PeerOptions): string {
  return REQUESTS[transport]
    .replace('channel=a', `channel=a${query}`)
    .replace('Host: localhost\r\n', `Host: localhost\r\n${fields}`);
}

export class AddressPeer {
  readonly socket: Socket;
  text = '';
  isClosed = false;

  constructor(test: Test, to: number | string, first: Buffer | string = '', from = '127.0.0.1') {
    this.socket =
      typeof to === 'string'
        ? createConnection(to)
        : createConnection({
            port: to,
            host: from.includes(':') ? '::1' : '127.0.0.1',
            localAddress: from,
          });
    this.socket.setEncoding('latin1').on('data', (text: string) => (this.text += text));
    this.socket.on('error', () => undefined).on('close', () => (this.isClosed = true));
    if (first.length > 0) this.socket.write(first);
    test.teardown(() => this.socket.destroy());
  }

  /** Sends the request of a transport, after a PROXY header if there is one. */
  static request(test: Test, { port }: Endpoint, options: PeerOptions = {}): AddressPeer {
    const { proxy = '', from } = options;
    const first = Buffer.concat([Buffer.from(proxy), Buffer.from(requestOf(options))]);
    return new AddressPeer(test, port, first, from);
  }

  /** The status of the response; empty before it arrives. */
  get status(): string {
    return /^HTTP\/1\.1 (\d{3})/.exec(this.text)?.[1] ?? '';
  }

  /** The status of the response, or `closed`. */
  async answer(): Promise<string> {
    await until('an answer', () => this.status !== '' || this.isClosed);
    return this.status === '' ? 'closed' : this.status;
  }

  async close(): Promise<void> {
    this.socket.destroy();
    await until('the end', () => this.isClosed);
  }
}

/** The total of a counter over all workers. */
export function totalOf({ server }: World, name: string): number {
  return Number(server.stats().totals[name as never]);
}

/** Connections that are open. */
export function openIn({ server }: World): number {
  return server.stats().workers.reduce((sum, { connections }) => sum + Number(connections), 0);
}
