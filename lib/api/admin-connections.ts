// The connections of the admin server. Anybody who reaches its port may open many, pipeline requests,
// send slowly or read no response; health checks must be answered meanwhile. Each way in which a
// client is cut has a counter.
import { STATUS_CODES, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { Server as TlsServer } from 'node:https';
import type { Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';

import { counter, gauge, valuesOf, type ValuesOf } from '../base/metric.js';
import { JSON_TYPE } from './endpoints.js';
import { DISCARD_BYTES_MAX, isCutOff, isDiscarded, Rejection } from './request-body.js';
import { bytesOf } from './response.js';

/** Connections at once. */
const CONNECTIONS_MAX = 256;
/** The same, if all of them work for clients with a token. */
const TRUSTED_CONNECTIONS_MAX = 1024;
/** Requests of one connection that may wait for the one before. Clients do not pipeline. */
const WAITING_MAX = 64;
export interface AdminTimes {
  /** Milliseconds for a whole TLS handshake. */
  readonly handshakeMs: number;
  /** Milliseconds for the rest of a rejected request, whose sender may still read the answer. */
  readonly rejectedBodyMs: number;
  /** Milliseconds in which a client must read the end of a response. */
  readonly readMs: number;
  /** Interval in which these are checked. */
  readonly sweepMs: number;
}

const TIMES: AdminTimes = {
  handshakeMs: 5000,
  rejectedBodyMs: 5000,
  readMs: 30_000,
  sweepMs: 1000,
};
/** The status of a handler that has waited for a body. */
const BODY_LATE = 408;

type Handle = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

/** Why a connection was cut. */
type Cause = 'badHead' | 'body' | 'evicted' | 'handshake' | 'head' | 'idle' | 'pipelining' | 'read';

/** What Node's parser rejects, and a head or a body that is late; null for a client that left. */
function rejectionOf({ code = '' }: NodeJS.ErrnoException): Rejection | null {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    return new Rejection(BODY_LATE, 'the request is not complete in time');
  }
  if (code === 'HPE_HEADER_OVERFLOW') {
    return new Rejection(431, 'the head of the request is too long');
  }
  // The client left within a request: the end of its stream is not a fault of a head.
  if (code === 'HPE_INVALID_EOF_STATE' || !code.startsWith('HPE_')) return null;
  return new Rejection(400, 'the request is not HTTP');
}

/** A whole response, for a connection whose parser has failed. */
function responseOf({ status, body }: Rejection): Buffer {
  const bytes = bytesOf(body);
  const lines = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`,
    ...['Cache-Control: no-store', 'X-Content-Type-Options: nosniff', `Content-Type: ${JSON_TYPE}`],
    ...[`Content-Length: ${bytes.length}`, 'Connection: close', '', ''],
  ];
  return Buffer.concat([Buffer.from(lines.join('\r\n')), bytes]);
}

/** The two sockets of a connection with TLS have the same peer. */
function peerOf({ remoteAddress = '', remotePort = 0 }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

const PLAIN_HTTP = new Rejection(400, 'this port speaks TLS; use https');

/** One connection: it handles one request after the other. */
class Connection {
  /** With TLS that of the ciphertext during the handshake, then that of the plaintext. */
  socket: Socket;
  /** When its TLS handshake began; undefined after it, and without TLS. */
  handshakeSinceMs: number | undefined;
  readonly #handle: Handle;
  readonly #waiting: Exchange[] = [];
  #isBusy = false;
  /** The exchange that is handled now, or the last one. */
  #current: Exchange | undefined;
  /** When the sweep first saw the state that may not last; see {@link overdue}. */
  #sinceMs: number | undefined;
  /** Bytes that are read of it at most; undefined unless {@link reject} was called. */
  #bytesReadMax: number | undefined;
  /** Whether a handler knows that its client may use the server; see {@link AdminConnections.trust}. */
  isTrusted = false;

  constructor(socket: Socket, handle: Handle) {
    this.socket = socket;
    this.#handle = handle;
  }

  get isIdle(): boolean {
    return !this.#isBusy;
  }

  /** Whether another part handles the silence of the present client; see batch-answer.ts. */
  get isWatched(): boolean {
    return this.#isBusy && (this.#current?.response.listenerCount('timeout') ?? 0) > 0;
  }

  /** Whether the head of a response was sent, so that an error cannot be one. */
  get hasAnswered(): boolean {
    return this.#isBusy && this.#current?.response.headersSent === true;
  }

  /** Whether its last answer was a rejection, and it is counted. */
  get isRejected(): boolean {
    return this.#bytesReadMax !== undefined;
  }

  /** Whether its present request was answered with 408, which is counted. */
  get isLate(): boolean {
    const { response } = this.#current ?? {};
    return response?.headersSent === true && response.statusCode === BODY_LATE;
  }

  /** The cause of a cut for a time limit in the present state. */
  get state(): Cause {
    const { request, response } = this.#current ?? {};
    if (request?.complete === false) return 'body';
    if (response?.writableEnded === true && !response.writableFinished) return 'read';
    return this.#isBusy ? 'read' : 'idle';
  }

  /** The limit that the client exceeded, or null. It is called once in each sweep. */
  overdue(nowMs: number, { handshakeMs, readMs, rejectedBodyMs }: AdminTimes): Cause | null {
    if (this.handshakeSinceMs !== undefined) {
      return nowMs - this.handshakeSinceMs >= handshakeMs ? 'handshake' : null;
    }
    const { request, response } = this.#current ?? {};
    const isEnded = response?.writableEnded === true;
    const isUnread = isEnded && !response.writableFinished;
    const hasRest = request?.complete === false && (isEnded || isDiscarded(request));
    const isUnsent = this.isRejected || hasRest;
    if (!isUnread && !isUnsent) {
      this.#sinceMs = undefined;
      return null;
    }
    this.#sinceMs ??= nowMs;
    const ms = nowMs - this.#sinceMs;
    if (isUnread) return ms >= readMs ? 'read' : null;
    return ms >= rejectedBodyMs ? 'body' : null;
  }

  /**
   * Ends our side with an answer, and ignores further bytes of the client: a close at once would
   * reset the connection, and the client might miss the answer. The sweep closes it later.
   */
  reject(answer: Buffer): void {
    this.#bytesReadMax = this.socket.bytesRead + DISCARD_BYTES_MAX;
    this.socket.end(answer);
  }

  /** The client of a rejected connection sent more. */
  ignore(): void {
    if (this.socket.bytesRead > (this.#bytesReadMax ?? 0)) this.socket.pause();
  }

  /** Handles a request after those before it. `onIdle` is called when none is left. False: too many. */
  push(exchange: Exchange, onIdle: () => void): boolean {
    this.#waiting.push(exchange);
    if (this.#waiting.length > WAITING_MAX) return false;
    if (this.#isBusy) this.socket.pause();
    else void this.#work(onIdle);
    return true;
  }

  async #work(onIdle: () => void): Promise<void> {
    this.#isBusy = true;
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      this.#sinceMs = undefined;
      this.#current = next;
      if (!this.socket.destroyed) await this.#exchange(next);
      // Requests of one chunk would otherwise be handled in one iteration of the event loop.
      if (this.#waiting.length > 0) await setImmediate();
    }
    this.#isBusy = false;
    if (this.#current?.request.complete === true) this.#current = undefined;
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

/** The value of a counter: connections that were cut for a cause. */
function cutsFor(cause: Cause): (all: AdminConnections) => number {
  return (all) => all.cuts(cause);
}

export class AdminConnections {
  static readonly METRICS = {
    connections: gauge(
      'admin_connections',
      'Open connections of the admin server.',
      (all: AdminConnections) => all.#connections.size,
    ),
    evictedTotal: counter(
      'admin_evicted_total',
      `Connections closed for a new one, because ${CONNECTIONS_MAX} were open.`,
      cutsFor('evicted'),
    ),
    handshakesFailedTotal: counter(
      'admin_handshakes_failed_total',
      'Connections whose TLS handshake failed, or was not complete in 5 s.',
      cutsFor('handshake'),
    ),
    headTimeoutsTotal: counter(
      'admin_head_timeouts_total',
      'Connections that did not send the whole head of a request in 5 s.',
      cutsFor('head'),
    ),
    bodyTimeoutsTotal: counter(
      'admin_body_timeouts_total',
      'Connections that did not send the whole body of a request in time, or more than 1 MiB of one ' +
        'that was rejected.',
      cutsFor('body'),
    ),
    readTimeoutsTotal: counter(
      'admin_read_timeouts_total',
      'Connections that did not read a response in 30 s.',
      cutsFor('read'),
    ),
    idleTimeoutsTotal: counter(
      'admin_idle_timeouts_total',
      'Connections that sent no further request in 5 s. Some are normal.',
      cutsFor('idle'),
    ),
    badHeadsTotal: counter(
      'admin_bad_heads_total',
      'Connections whose request is longer than 8 KiB before its body, or is not HTTP.',
      cutsFor('badHead'),
    ),
    pipelinedTotal: counter(
      'admin_pipelined_total',
      `Connections that sent more than ${WAITING_MAX} requests before the first answer.`,
      cutsFor('pipelining'),
    ),
  };

  readonly #handle: Handle;
  readonly #times: AdminTimes;
  /** In the order of their last request: the first is the one that was idle for longest. */
  readonly #connections = new Map<Socket, Connection>();
  readonly #cuts = new Map<Cause, number>();
  #timer: NodeJS.Timeout | undefined;

  /** @param handle - Answers a request. It is called for one request of a connection at a time. */
  constructor(handle: Handle, times = TIMES) {
    this.#handle = handle;
    this.#times = times;
  }

  /** Present values of the metrics. */
  get counters(): ValuesOf<typeof AdminConnections.METRICS> {
    return valuesOf(AdminConnections.METRICS, this);
  }

  cuts(cause: Cause): number {
    return this.#cuts.get(cause) ?? 0;
  }

  /** Takes the connections of a server; the bounds count those of all servers together. */
  serve(server: Server | TlsServer): void {
    if (server instanceof TlsServer) this.#serveTls(server);
    else server.on('connection', (socket: Socket) => this.#add(socket));
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      const connection = this.#connections.get(request.socket);
      if (connection === undefined) {
        response.destroy();
        return;
      }
      const isTaken = connection.push({ request, response }, () => {
        this.#touch(connection);
      });
      if (!isTaken) this.#cut(connection, 'pipelining');
      response.once('close', () => {
        if (response.headersSent && response.statusCode === BODY_LATE) this.#count('body');
      });
      request.once('close', () => {
        if (isCutOff(request) && response.statusCode !== BODY_LATE) this.#count('body');
      });
    });
    // With this listener Node does not end silent connections.
    server.on('timeout', (socket: Socket) => {
      const connection = this.#connections.get(socket);
      if (connection !== undefined && !connection.isWatched)
        this.#cut(connection, connection.state);
    });
    server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
      this.#onClientError(error, socket);
    });
  }

  /** Ends all connections. */
  destroyAll(): void {
    for (const { socket } of this.#connections.values()) socket.destroy();
  }

  /** A connection counts from its accept, so that handshakes cannot exceed the bounds. */
  #serveTls(server: TlsServer): void {
    const handshakes = new Map<string, Connection>();
    server.on('connection', (socket: Socket) => {
      const connection = this.#add(socket);
      if (connection === undefined) return;
      const peer = peerOf(socket);
      connection.handshakeSinceMs = performance.now();
      handshakes.set(peer, connection);
      socket.once('close', () => {
        if (handshakes.get(peer) === connection) handshakes.delete(peer);
      });
    });
    server.on('secureConnection', (socket) => {
      const connection = handshakes.get(peerOf(socket));
      if (connection === undefined || !this.#connections.delete(connection.socket)) {
        socket.destroy();
        return;
      }
      connection.handshakeSinceMs = undefined;
      connection.socket = socket;
      this.#connections.set(socket, connection);
    });
    // Before Node destroys the socket.
    server.prependListener('tlsClientError', ({ code }: NodeJS.ErrnoException, socket) => {
      if (code !== 'ERR_SSL_HTTP_REQUEST') return;
      handshakes.get(peerOf(socket))?.socket.write(responseOf(PLAIN_HTTP));
    });
  }

  /** A request of this connection had a token: the connection keeps its slot while it works. */
  trust(socket: Socket): void {
    const connection = this.#connections.get(socket);
    if (connection !== undefined) connection.isTrusted = true;
  }

  /** Undefined for a connection that was closed, because none of the others could be. */
  #add(socket: Socket): Connection | undefined {
    if (this.#connections.size >= CONNECTIONS_MAX && !this.#evict()) {
      this.#count('evicted');
      socket.destroy();
      return undefined;
    }
    const connection = new Connection(socket, this.#handle);
    this.#connections.set(socket, connection);
    socket.once('close', () => {
      const isCut = !this.#connections.delete(connection.socket);
      if (!isCut && connection.handshakeSinceMs !== undefined) this.#count('handshake');
      if (this.#connections.size === 0) clearInterval(this.#timer);
    });
    if (this.#connections.size === 1) this.#startSweep();
    return connection;
  }

  #startSweep(): void {
    clearInterval(this.#timer);
    this.#timer = setInterval(() => {
      this.#sweep();
    }, this.#times.sweepMs);
    this.#timer.unref();
  }

  #sweep(): void {
    const nowMs = performance.now();
    for (const connection of this.#connections.values()) {
      const cause = connection.overdue(nowMs, this.#times);
      if (cause !== null) this.#cut(connection, cause);
    }
  }

  #onClientError(error: NodeJS.ErrnoException, socket: Socket): void {
    const connection = this.#connections.get(socket);
    const rejection = rejectionOf(error);
    if (rejection === null || connection === undefined) {
      socket.destroy();
      return;
    }
    // The parser fails again at each further byte.
    if (connection.isRejected) {
      connection.ignore();
      return;
    }
    const late = connection.state === 'body' ? 'body' : 'head';
    const cause = rejection.status === BODY_LATE ? late : 'badHead';
    if (connection.hasAnswered || !socket.writable) {
      this.#cut(connection, cause);
      return;
    }
    this.#count(cause);
    connection.reject(responseOf(rejection));
  }

  /** Moves a connection to the end of the order. */
  #touch({ socket }: Connection): void {
    const connection = this.#connections.get(socket);
    if (connection === undefined || !this.#connections.delete(socket)) return;
    this.#connections.set(socket, connection);
  }

  /**
   * Ends one connection for a new one: the one that was idle for longest, else the oldest that has
   * not shown a token. A health check is new, so it is answered however many are open. False if
   * no slot is left for the new one.
   */
  #evict(): boolean {
    const all = [...this.#connections.values()];
    const ended = all.find(({ isIdle }) => isIdle) ?? all.find(({ isTrusted }) => !isTrusted);
    if (ended === undefined) return all.length < TRUSTED_CONNECTIONS_MAX;
    this.#cut(ended, 'evicted');
    return true;
  }

  #cut(connection: Connection, cause: Cause): void {
    const { socket, isRejected, isLate } = connection;
    const isCounted = isRejected || (cause === 'body' && isLate);
    if (!isCounted) this.#count(cause);
    this.#connections.delete(socket);
    socket.destroy();
  }

  #count(cause: Cause): void {
    this.#cuts.set(cause, this.cuts(cause) + 1);
  }
}
