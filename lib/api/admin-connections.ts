// The connections of the admin server. Anybody who reaches its port may open many, pipeline requests,
// send slowly or read no response; health checks must be answered meanwhile. Each way in which a
// client is cut has a counter.
import { STATUS_CODES, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { Server as TlsServer } from 'node:https';
import type { Socket } from 'node:net';

import { counter, gauge, valuesOf, type ValuesOf } from '../base/metric.js';
import {
  AdminConnection,
  BODY_LATE,
  WAITING_MAX,
  type AdminTimes,
  type Cause,
  type Handle,
} from './admin-connection.js';
import { JSON_TYPE } from './endpoints.js';
import { takePlainHttp } from './plain-at-tls.js';
import { isCutOff, Rejection } from './request-body.js';
import { bytesOf } from './response.js';

/** Connections at once. */
const CONNECTIONS_MAX = 256;
/** The same, if all of them work for clients with a token. */
const TRUSTED_CONNECTIONS_MAX = 1024;

const TIMES: AdminTimes = {
  handshakeMs: 5000,
  rejectedBodyMs: 5000,
  readMs: 30_000,
  sweepMs: 1000,
};

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
      'Connections that sent no further request in 95 s. Some are normal.',
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
  readonly #connections = new Map<Socket, AdminConnection>();
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
    const handshakes = new Map<string, AdminConnection>();
    const accepts = (socket: Socket): boolean => {
      const connection = this.#add(socket);
      if (connection === undefined) return false;
      const peer = peerOf(socket);
      connection.handshakeSinceMs = performance.now();
      handshakes.set(peer, connection);
      socket.once('close', () => {
        if (handshakes.get(peer) === connection) handshakes.delete(peer);
      });
      return true;
    };
    takePlainHttp(server, accepts, (socket) => {
      const connection = this.#connections.get(socket);
      if (connection !== undefined) this.#rejectPlain(connection);
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
  }

  /** Counts as a handshake that failed. */
  #rejectPlain(connection: AdminConnection): void {
    this.#count('handshake');
    connection.handshakeSinceMs = undefined;
    connection.reject(responseOf(PLAIN_HTTP));
    connection.socket.on('data', () => {
      connection.ignore();
    });
  }

  /** A request of this connection had a token: the connection keeps its slot while it works. */
  trust(socket: Socket): void {
    const connection = this.#connections.get(socket);
    if (connection !== undefined) connection.isTrusted = true;
  }

  /** Undefined for a connection that was closed, because none of the others could be. */
  #add(socket: Socket): AdminConnection | undefined {
    if (this.#connections.size >= CONNECTIONS_MAX && !this.#evict()) {
      this.#count('evicted');
      socket.destroy();
      return undefined;
    }
    const connection = new AdminConnection(socket, this.#handle);
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
  #touch({ socket }: AdminConnection): void {
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

  #cut(connection: AdminConnection, cause: Cause): void {
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
