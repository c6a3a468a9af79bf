// The connections of the admin server. Anybody who reaches its port may open many, pipeline requests
// or read no response; health checks must be answered meanwhile.
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';

/** Connections at once. */
const CONNECTIONS_MAX = 256;
/** Requests of one connection that may wait for the one before. Clients do not pipeline. */
const WAITING_MAX = 64;

type Handle = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

/** One connection: it handles one request after the other. */
class Connection {
  readonly socket: Socket;
  readonly #handle: Handle;
  readonly #waiting: Exchange[] = [];
  #isBusy = false;
  /** Whether a handler knows that its client may use the server; see {@link AdminConnections.trust}. */
  isTrusted = false;

  constructor(socket: Socket, handle: Handle) {
    this.socket = socket;
    this.#handle = handle;
  }

  get isIdle(): boolean {
    return !this.#isBusy;
  }

  /** Handles a request after those before it. `onIdle` is called when none is left. */
  async push(exchange: Exchange, onIdle: () => void): Promise<void> {
    this.#waiting.push(exchange);
    if (this.#waiting.length > WAITING_MAX) this.socket.destroy();
    if (this.#isBusy) {
      this.socket.pause();
      return;
    }
    this.#isBusy = true;
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      if (!this.socket.destroyed) await this.#exchange(next);
      // Requests of one chunk would otherwise be handled in one iteration of the event loop.
      if (this.#waiting.length > 0) await setImmediate();
    }
    this.#isBusy = false;
    this.isTrusted = false;
    this.socket.resume();
    onIdle();
  }

  async #exchange({ request, response }: Exchange): Promise<void> {
    const { socket } = this;
    const closed = new Promise<void>((resolve) => {
      const done = (): void => {
        socket.off('close', done);
        resolve();
      };
      response.once('close', done);
      socket.once('close', done);
    });
    await this.#handle(request, response).catch(() => {
      response.destroy();
    });
    await closed;
  }
}

export class AdminConnections {
  readonly #handle: Handle;
  /** In the order of their last request: the first is the one that was idle for longest. */
  readonly #connections = new Map<Socket, Connection>();

  /** @param handle - Answers a request. It is called for one request of a connection at a time. */
  constructor(handle: Handle) {
    this.#handle = handle;
  }

  /** Takes the connections of a server; the bounds count those of all servers together. */
  serve(server: Server): void {
    server.on('connection', (socket: Socket) => {
      this.#add(socket);
    });
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      const connection = this.#connections.get(request.socket);
      if (connection === undefined) {
        response.destroy();
        return;
      }
      void connection.push({ request, response }, () => {
        this.#touch(connection);
      });
    });
  }

  /** Connections that are open. */
  get size(): number {
    return this.#connections.size;
  }

  /** A request of this connection had the token: the connection keeps its place while it works. */
  trust(socket: Socket): void {
    const connection = this.#connections.get(socket);
    if (connection !== undefined) connection.isTrusted = true;
  }

  #add(socket: Socket): void {
    if (this.#connections.size >= CONNECTIONS_MAX) this.#evict();
    this.#connections.set(socket, new Connection(socket, this.#handle));
    socket.once('close', () => this.#connections.delete(socket));
  }

  /** Moves a connection to the end of the order. */
  #touch({ socket }: Connection): void {
    const connection = this.#connections.get(socket);
    if (connection === undefined || !this.#connections.delete(socket)) return;
    this.#connections.set(socket, connection);
  }

  /**
   * Ends one connection for a new one: the one that was idle for longest, else the oldest that has
   * not shown the token. A health check is new, so it is answered however many are open.
   */
  #evict(): void {
    const all = [...this.#connections.values()];
    const ended = all.find(({ isIdle }) => isIdle) ?? all.find(({ isTrusted }) => !isTrusted);
    if (ended === undefined) return;
    this.#connections.delete(ended.socket);
    ended.socket.destroy();
  }
}
