// What tests of comet need: a server of the library, and plain clients of each transport that note
// what they got, in order.
import { createConnection, type Socket } from 'node:net';
import type { Test } from 'tap';
import WebSocket from 'ws';

import { createServer, type Server, type ServerOptions } from '../lib/index.js';
import { until } from './helpers.js';

/** One message as a client of any transport saw it. */
export interface Seen {
  readonly channel?: string;
  readonly cursor: string;
  readonly data: string;
  readonly event?: string;
}

export interface World {
  readonly server: Server;
  readonly port: number;
}

/** A comet server in this process, closed with the test. */
export async function startComet(test: Test, options: ServerOptions = {}): Promise<World> {
  const server = createServer({
    host: '127.0.0.1',
    port: 0,
    workers: 2,
    maxConnections: 2000,
    protocol: 'comet',
    ...options,
  });
  test.teardown(() => server.close());
  await server.listen();
  const port = Number(/:(\d+)$/.exec(server.addresses[0] ?? '')?.[1]);
  return { server, port };
}

/** A client that keeps what it gets. `lost` counts the times that it was told of a gap. */
export abstract class Client {
  readonly seen: Seen[] = [];
  lost = 0;
  /** Where it stands; empty before the first answer. */
  cursor = '';
  isOpen = false;

  constructor(
    readonly world: World,
    readonly channels: readonly string[],
  ) {}

  get data(): string[] {
    return this.seen.map(({ data }) => data);
  }

  query(): string {
    const query = new URLSearchParams(
      this.channels.map((name): [string, string] => ['channel', name]),
    );
    if (this.cursor !== '') query.set('since', this.cursor);
    return query.toString();
  }

  abstract open(): Promise<void>;
  abstract close(): void;

  /** Waits until it has so many messages. */
  async has(count: number): Promise<void> {
    await until(`${count} messages`, () => this.seen.length >= count);
  }
}

/** Over a plain socket, so that nothing between hides what the server sends. */
abstract class StreamingClient extends Client {
  #socket: Socket | undefined;
  #text = '';
  #hasHead = false;

  abstract readonly path: string;
  /** Takes whole blocks off the text and answers the rest. */
  abstract take(text: string): string;

  async open(): Promise<void> {
    const socket = createConnection(this.world.port, '127.0.0.1');
    this.#socket = socket;
    this.#text = '';
    this.#hasHead = false;
    socket.setEncoding('utf8');
    socket.on('error', () => undefined);
    socket.on('close', () => {
      if (this.#socket === socket) this.isOpen = false;
    });
    socket.on('data', (text: string) => {
      if (this.#socket === socket) this.#take(text);
    });
    socket.write(`GET ${this.path}?${this.query()} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    await until('the subscription', () => this.isOpen || socket.destroyed);
  }

  #take(text: string): void {
    this.#text += text;
    if (!this.#hasHead) {
      const end = this.#text.indexOf('\r\n\r\n');
      if (end < 0) return;
      this.#hasHead = true;
      this.#text = this.#text.slice(end + 4);
    }
    this.#text = this.take(this.#text);
  }

  close(): void {
    this.isOpen = false;
    this.#socket?.destroy();
    this.#socket = undefined;
  }
}

export class SseClient extends StreamingClient {
  readonly path = '/events';

  take(text: string): string {
    const blocks = text.split('\n\n');
    const rest = blocks.pop() ?? '';
    for (const block of blocks) this.#takeBlock(block.split('\n'));
    return rest;
  }

  #takeBlock(lines: readonly string[]): void {
    const of = (name: string): string[] =>
      lines
        .filter((line) => line.startsWith(`${name}: `))
        .map((line) => line.slice(name.length + 2));
    const [id] = of('id');
    const [event] = of('event');
    const hasData = lines.some((line) => line.startsWith('data:'));
    if (event === 'megacomet.lost') {
      this.lost++;
      this.seen.length = 0;
    } else if (hasData && id !== undefined) {
      const data = lines.filter((line) => line.startsWith('data:')).map((line) => line.slice(6));
      this.seen.push({
        cursor: id,
        data: data.join('\n'),
        ...(event === undefined ? {} : { event }),
      });
    }
    if (id !== undefined) {
      this.cursor = id;
      this.isOpen = true;
    }
  }
}

/** A line of a stream, or a message of a WebSocket. */
type Note = Partial<Seen> & { type: string; recovered?: boolean; error?: string };

export class StreamClient extends StreamingClient {
  readonly path = '/stream';

  take(text: string): string {
    const lines = text.split('\n');
    const rest = lines.pop() ?? '';
    for (const line of lines.filter((one) => one !== '')) takeNote(this, JSON.parse(line) as Note);
    return rest;
  }
}

function takeNote(client: Client, note: Note): void {
  if (note.type === 'subscribed') {
    client.isOpen = true;
    if (note.recovered === false) client.lost++;
  }
  if (note.type === 'message') client.seen.push(note as Seen);
  if (note.cursor !== undefined) client.cursor = note.cursor;
}

export class WebSocketClient extends Client {
  socket: WebSocket | undefined;
  readonly errors: string[] = [];
  /** With which code it was closed; 0 before. */
  closeCode = 0;

  async open(): Promise<void> {
    const socket = new WebSocket(`ws://127.0.0.1:${this.world.port}/ws?${this.query()}`);
    this.socket = socket;
    socket.on('error', () => undefined);
    socket.on('close', (code) => {
      this.closeCode = code;
      if (this.socket === socket) this.isOpen = false;
    });
    socket.on('message', (data: Buffer) => {
      if (this.socket !== socket) return;
      const note = JSON.parse(data.toString()) as Note;
      if (note.type === 'error') this.errors.push(note.error ?? '');
      takeNote(this, note);
    });
    await until('the subscription', () => this.isOpen || socket.readyState > WebSocket.OPEN);
  }

  say(wish: object): void {
    this.socket?.send(JSON.stringify(wish));
  }

  close(): void {
    this.isOpen = false;
    this.socket?.terminate();
    this.socket = undefined;
  }
}

export interface Batch {
  readonly messages: readonly Seen[];
  readonly cursor: string;
  readonly recovered: boolean;
}

export class PollClient extends Client {
  #stopped = false;
  #abort = new AbortController();

  async open(): Promise<void> {
    this.#stopped = false;
    this.#abort = new AbortController();
    if (this.cursor === '') {
      // A first poll that waits for nothing tells where the channel stands.
      const response = await this.#poll('&timeout=1');
      this.cursor = response?.headers.get('megacomet-cursor') ?? '';
    }
    this.isOpen = true;
    void this.#run();
  }

  async #poll(extra = ''): Promise<Response | null> {
    try {
      const url = `http://127.0.0.1:${this.world.port}/poll?${this.query()}${extra}`;
      return await fetch(url, { signal: this.#abort.signal });
    } catch {
      return null;
    }
  }

  async #run(): Promise<void> {
    while (!this.#isStopped()) {
      const response = await this.#poll();
      if (response === null) break;
      this.cursor = response.headers.get('megacomet-cursor') ?? this.cursor;
      if (response.status === 204) continue;
      const batch = (await response.json()) as Batch;
      if (!batch.recovered) this.lost++;
      this.seen.push(...batch.messages);
    }
    this.isOpen = false;
  }

  #isStopped(): boolean {
    return this.#stopped;
  }

  close(): void {
    this.#stopped = true;
    this.isOpen = false;
    this.#abort.abort();
  }
}

export const CLIENTS = [SseClient, StreamClient, WebSocketClient, PollClient] as const;

/** Sends bytes over a plain socket and answers everything until the server ends, or the time. */
export async function exchange(
  port: number,
  bytes: Buffer | string,
  timeMs = 2000,
): Promise<string> {
  const socket = createConnection(port, '127.0.0.1');
  let text = '';
  socket.setEncoding('latin1').on('data', (part: string) => (text += part));
  socket.on('error', () => undefined);
  // Not by once(), which would throw at an error: a server that closes early resets.
  const closed = new Promise((resolve) => socket.on('close', resolve));
  socket.write(bytes);
  const timer = setTimeout(() => socket.destroy(), timeMs);
  await closed;
  clearTimeout(timer);
  return text;
}
