// Helpers for the comet tests: a server of the library, and plain clients of each transport that
// record the messages they receive, in order.
import { createConnection, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Test } from 'tap';
import WebSocket from 'ws';

import { createServer, type Server, type ServerOptions } from '../../lib/index.js';
import { TestServer, until, type StartOptions } from './helpers.js';

/** One message as a client of any transport saw it. */
export interface Seen {
  readonly channel?: string;
  readonly cursor: string;
  readonly data: string;
  readonly event?: string;
}

/** The address of a server. */
export interface Endpoint {
  /** Numeric, without brackets; default 127.0.0.1. */
  readonly host?: string;
  readonly port: number;
}

export interface World extends Endpoint {
  readonly server: Server;
}

export const TOKEN = 'what-only-the-service-knows';

/** `serve --protocol comet` as its own process, and a service that publishes to it. */
export class Program implements Endpoint {
  private constructor(readonly server: TestServer) {}

  static async start(test: Test, options: StartOptions = {}): Promise<Program> {
    const args = ['--protocol', 'comet', ...(options.args ?? [])];
    const env = { MEGACOMET_ADMIN_TOKEN: TOKEN, ...options.env };
    return new Program(await TestServer.start(test, { ...options, args, env }));
  }

  get host(): string {
    return this.server.host;
  }

  get port(): number {
    return this.server.port;
  }

  /** Publishes one message; returns the status. */
  publish(channel: string, data: string, more: object = {}): Promise<number> {
    return this.post('/publish', { channel, data, ...more });
  }

  /** Disconnects the subscribers of a channel; returns the status. */
  kick(channel: string, reason: string): Promise<number> {
    return this.post('/kick', { channel, reason });
  }

  /** A command of the admin server; returns the status. */
  async post(path: string, body: object): Promise<number> {
    const response = await this.request(path, body);
    await response.arrayBuffer();
    return response.status;
  }

  /** As post(), with the whole response. */
  request(path: string, body: object): Promise<Response> {
    return fetch(`http://${this.host}:${this.server.adminPort}${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  }

  /** A query of the admin server; its JSON. */
  async query(path: string): Promise<unknown> {
    const response = await this.server.get(path, { authorization: `Bearer ${TOKEN}` });
    return response.json();
  }

  /** Waits until a counter, summed over the workers, has this value. */
  untilTotal(name: string, wanted: number, timeoutMs?: number): Promise<void> {
    return this.server.untilTotal(name, wanted, timeoutMs);
  }
}

/** One client of each transport, subscribed to channel a. */
export async function subscribeAll(endpoint: Endpoint): Promise<Client[]> {
  const clients = CLIENTS.map((Kind) => new Kind(endpoint, ['a']));
  for (const client of clients) {
    // A poll would have to wait for the current cursor of the channel.
    client.cursor = clients[0]?.cursor ?? '';
    await client.open();
  }
  return clients;
}

const WEBSOCKET_HEAD =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';

/** The request that subscribes to a channel over each transport, for plain sockets. */
export const REQUESTS = {
  sse: requestFor('/events'),
  stream: requestFor('/stream'),
  websocket: requestFor('/ws', WEBSOCKET_HEAD),
  poll: requestFor('/poll'),
} as const;

function requestFor(path: string, headers = ''): string {
  return `GET ${path}?channel=a HTTP/1.1\r\nHost: localhost\r\n${headers}\r\n`;
}

/** A way to the servers of startComet(), for tests that run over it once more. */
export interface Route {
  /** Options that it needs. */
  readonly options: ServerOptions;
  /** The port at which plain clients find the server that listens on `port`. */
  open(test: Test, port: number): Promise<number>;
}

let route: Route | undefined;

/** All servers that start from now on are reached over this route. */
export function reachOver(next: Route): void {
  route = next;
}

/** Whether something between reads on when a client stops reading. */
export function isRouted(): boolean {
  return route !== undefined;
}

/** A comet server in this process, closed with the test. */
export async function startComet(test: Test, options: ServerOptions = {}): Promise<World> {
  const server = createServer({
    host: '127.0.0.1',
    port: 0,
    workers: 2,
    maxConnections: 2000,
    protocol: 'comet',
    ...route?.options,
    ...options,
  });
  test.teardown(() => server.close());
  await server.listen();
  const port = Number(/:(\d+)$/.exec(server.addresses[0] ?? '')?.[1]);
  return { server, port: route === undefined ? port : await route.open(test, port) };
}

/**
 * A client that keeps its messages. `lost` counts the gaps that the server reported for a cursor,
 * and `notices` has the cursors of those while connected.
 */
export abstract class Client {
  readonly seen: Seen[] = [];
  readonly notices: string[] = [];
  lost = 0;
  /** The last cursor; empty before the first answer. */
  cursor = '';
  isOpen = false;
  /** Sent with each request; empty for none. */
  token = '';

  constructor(
    readonly endpoint: Endpoint,
    readonly channels: readonly string[],
  ) {}

  /** The channels as query parameters. */
  get authority(): string {
    const host = this.endpoint.host ?? '127.0.0.1';
    return `${host.includes(':') ? `[${host}]` : host}:${this.endpoint.port}`;
  }

  get data(): string[] {
    return this.seen.map(({ data }) => data);
  }

  query(): string {
    const query = new URLSearchParams(
      this.channels.map((name): [string, string] => ['channel', name]),
    );
    if (this.cursor !== '') query.set('since', this.cursor);
    if (this.token !== '') query.set('token', this.token);
    return query.toString();
  }

  abstract open(): Promise<void>;
  abstract close(): void;

  /** Waits until the client has this number of messages. */
  async has(count: number): Promise<void> {
    await until(`${count} messages`, () => this.seen.length >= count);
  }
}

/** A client over a plain socket, so that no library hides bytes of the server. */
abstract class StreamingClient extends Client {
  #socket: Socket | undefined;
  #text = '';
  #hasHead = false;

  abstract readonly path: string;
  /** Consumes the complete blocks of the text; returns the rest. */
  abstract take(text: string): string;

  async open(): Promise<void> {
    const socket = createConnection(this.endpoint.port, this.endpoint.host ?? '127.0.0.1');
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
    if (event === 'megacomet.gap') {
      this.lost++;
      this.seen.length = 0;
    } else if (event === 'megacomet.lost') {
      this.notices.push(id ?? '');
    } else if (hasData && id !== undefined && event !== 'megacomet.subscribed') {
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
  if (note.type === 'lost') client.notices.push(note.cursor ?? '');
  if (note.type === 'message') client.seen.push(note as Seen);
  if (note.cursor !== undefined) client.cursor = note.cursor;
}

export class WebSocketClient extends Client {
  socket: WebSocket | undefined;
  readonly errors: string[] = [];
  /** The close code; 0 while open. */
  closeCode = 0;

  async open(): Promise<void> {
    const socket = new WebSocket(`ws://${this.authority}/ws?${this.query()}`);
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

  say(command: object): void {
    this.socket?.send(JSON.stringify(command));
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
      // A first poll that does not wait returns the current cursor of the channel.
      const response = await this.#poll('&timeout=1');
      this.cursor = response?.headers.get('megacomet-cursor') ?? '';
    }
    this.isOpen = true;
    void this.#run();
  }

  async #poll(extra = ''): Promise<Response | null> {
    try {
      const url = `http://${this.authority}/poll?${this.query()}${extra}`;
      return await fetch(url, { signal: this.#abort.signal });
    } catch {
      return null;
    }
  }

  async #run(): Promise<void> {
    while (!this.#isStopped()) {
      const response = await this.#poll();
      // The server drains, or is full.
      if (response === null || response.status === 503) break;
      const cursor = response.headers.get('megacomet-cursor') ?? this.cursor;
      if (response.status === 204) {
        this.cursor = cursor;
        continue;
      }
      // Null if the server died during the answer.
      const batch = (await response.json().catch(() => null)) as Batch | null;
      if (batch === null) break;
      this.cursor = cursor;
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

/** Ends an exchange whose server never closes; the test then fails on the missing bytes. */
const EXCHANGE_TIMEOUT_MS = 60_000;

/**
 * Sends bytes over a plain socket; returns all bytes until the server closes, or until `isWhole`
 * accepts them.
 */
export async function exchange(
  port: number,
  bytes: Buffer | string,
  isWhole: (text: string) => boolean = () => false,
): Promise<string> {
  const socket = createConnection(port, '127.0.0.1');
  let text = '';
  socket.setEncoding('latin1').on('data', (part: string) => {
    text += part;
    if (isWhole(text)) socket.destroy();
  });
  socket.on('error', () => undefined);
  // Not with once(), which would throw at an error: a server that closes early causes a reset.
  const closed = new Promise((resolve) => socket.on('close', resolve));
  socket.write(bytes);
  const timer = setTimeout(() => socket.destroy(), EXCHANGE_TIMEOUT_MS);
  await closed;
  clearTimeout(timer);
  return text;
}

/** Subscribers on both workers that reconnect after every disconnect. */
export class Reconnecting {
  readonly sent: string[] = [];
  #isOver = false;
  #keeping: Promise<unknown> = Promise.resolve();

  private constructor(
    readonly program: Program,
    readonly clients: readonly Client[],
  ) {}

  static async gather(t: Test, program: Program): Promise<Reconnecting> {
    const clients: Client[] = [];
    const isSpread = async (): Promise<boolean> => {
      const { workers } = await program.server.stats();
      return workers.every((worker) => Number(worker['subscriptions']) > 1);
    };
    await until('subscribers of both workers', async () => {
      clients.push(...(await subscribeAll(program)));
      return clients.length >= 12 && (await isSpread());
    });
    const group = new Reconnecting(program, clients);
    group.#keeping = Promise.all(clients.map((client) => group.#keep(client)));
    t.teardown(() => group.leave());
    return group;
  }

  async #keep(client: Client): Promise<void> {
    while (!this.#isOver) {
      if (!client.isOpen) {
        client.close();
        await client.open().catch(() => undefined);
      }
      await sleep(50);
    }
  }

  /** Publishes, and waits while the server is busy. */
  async publish(count: number, bytes: number): Promise<void> {
    for (let at = 0; at < count; at++) {
      const data = `${this.sent.length} `.padEnd(bytes, 'x');
      while ((await this.program.publish('a', data)) !== 200) await sleep(20);
      this.sent.push(data);
    }
  }

  async untilAllHave(): Promise<void> {
    const last = this.sent.at(-1) ?? '';
    await until('every client to have the last message', () =>
      this.clients.every(({ data }) => data.at(-1) === last),
    );
  }

  /** Asserts that each client has every message once, in order. */
  async assertWhole(t: Test, what: string): Promise<void> {
    await this.untilAllHave();
    const wanted = this.sent.join();
    const wrong = this.clients.filter(({ data, lost }) => lost > 0 || data.join() !== wanted);
    t.same(
      wrong.map((client) => [client.constructor.name, client.seen.length, client.lost]),
      [],
      `${what}: every client has every message once`,
    );
    await this.program.untilTotal('subscriptions', this.clients.length);
  }

  async leave(): Promise<void> {
    this.#isOver = true;
    await this.#keeping;
    for (const client of this.clients) client.close();
  }
}
