// How the cluster suite publishes: batches of JSON lines in one request, or, for a server that takes
// one message per request, as many requests in one write.
import { connect, type Socket } from 'node:net';

import { Pool } from 'undici';

export interface Posts {
  /** Publishes messages to a channel. Returns how many were accepted. */
  send(channels: readonly string[], data: readonly string[]): Promise<number>;
  close(): Promise<void>;
}

const CONNECTIONS = 16;
const TIMEOUT_MS = 10_000;

export class LinePosts implements Posts {
  readonly #pool: Pool;
  readonly #token: string;

  constructor(port: number, token: string) {
    this.#pool = new Pool(`http://127.0.0.1:${port}`, {
      ...{ connections: CONNECTIONS, headersTimeout: TIMEOUT_MS, bodyTimeout: TIMEOUT_MS },
    });
    this.#token = token;
  }

  async send(channels: readonly string[], data: readonly string[]): Promise<number> {
    const lines = data.map(
      (one, index) => `{"channel":"${channels[index] ?? ''}","data":"${one}"}`,
    );
    try {
      const answer = await this.#pool.request({
        ...{ method: 'POST', path: '/publish', body: lines.join('\n') },
        headers: {
          authorization: `Bearer ${this.#token}`,
          'content-type': 'application/x-ndjson',
        },
      });
      const text = await answer.body.text();
      if (answer.statusCode !== 200) return 0;
      // megacomet-ts answers each line, Socket.IO none.
      return text === '{}' ? data.length : text.split('{"cursor":').length - 1;
    } catch {
      return 0;
    }
  }

  close(): Promise<void> {
    return this.#pool.destroy();
  }
}

interface Pending {
  left: number;
  accepted: number;
  readonly resolve: (accepted: number) => void;
}

export class PipelinedPosts implements Posts {
  readonly #port: number;
  #socket: Socket | null = null;
  #pending: Pending[] = [];
  #tail = '';

  constructor(port: number) {
    this.#port = port;
  }

  send(channels: readonly string[], data: readonly string[]): Promise<number> {
    const requests = data.map(
      (one, index) =>
        `POST /publish?channel=${channels[index] ?? ''} HTTP/1.1\r\nHost: a\r\n` +
        `Content-Length: ${one.length}\r\n\r\n${one}`,
    );
    return new Promise((resolve) => {
      this.#pending.push({ left: data.length, accepted: 0, resolve });
      this.#socket ??= this.#open();
      this.#socket.write(requests.join(''));
    });
  }

  close(): Promise<void> {
    this.#socket?.destroy();
    return Promise.resolve();
  }

  #open(): Socket {
    const socket = connect(this.#port, '127.0.0.1');
    socket.setEncoding('latin1').on('data', (text: string) => this.#read(text));
    socket.on('error', () => undefined);
    socket.once('close', () => {
      this.#socket = null;
      for (const { accepted, resolve } of this.#pending.splice(0)) resolve(accepted);
    });
    return socket;
  }

  #read(chunk: string): void {
    const parts = (this.#tail + chunk).split('HTTP/1.1 ');
    const last = parts.at(-1) ?? '';
    // A status that is cut, or the first bytes of the next status line.
    const isCut = parts.length > 1 && last.length < 3;
    this.#tail = isCut ? `HTTP/1.1 ${last}` : last.slice(-8);
    for (const part of parts.slice(1, isCut ? -1 : undefined)) this.#count(part.startsWith('2'));
  }

  #count(isAccepted: boolean): void {
    const [first] = this.#pending;
    if (first === undefined) return;
    if (isAccepted) first.accepted++;
    if (--first.left > 0) return;
    this.#pending.shift();
    first.resolve(first.accepted);
  }
}
