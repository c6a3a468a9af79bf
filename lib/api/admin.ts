// The admin server: health, readiness, stats, metrics and publishing over HTTP. It sees the server
// through a read-only view, and denies by default: loopback, and no foreign Host or Origin.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { isIP } from 'node:net';

import { MegacometError } from '../base/errors.js';
import { Metrics } from '../stats/metrics.js';
import { toJson, type Stats } from '../stats/stats.js';
import { listen } from './listen.js';
import { METRIC_TABLES } from './metric-tables.js';

/** Whether a server should get new clients, as readiness() and `/readyz` report it. */
export interface Readiness {
  /** At least half of the slots serve, and the server does not drain. */
  readonly isReady: boolean;
  /** Whether close() has begun. */
  readonly isDraining: boolean;
  /** Slots that do not serve. */
  readonly notServing: readonly {
    /** Number of the slot, from 0. */
    readonly slot: number;
    /** State of its worker, such as `starting` or `late`. */
    readonly state: string;
  }[];
}

/** The part of the server that the admin server sees. */
export interface AdminView {
  stats(): Stats;
  readiness(): Readiness;
}

/** Answers requests for its own paths; returns false for any other, without an answer. */
export interface AdminApi {
  handle(request: IncomingMessage, response: ServerResponse): Promise<boolean>;
}

/** Limits of a request. They are low because many may reach the port. */
const HEADER_BYTES_MAX = 8192;
const HEADERS_TIMEOUT_MS = 5000;
/** A batch of 64 MiB over a slow link. A sender that stops is disconnected after SILENCE_MS. */
const REQUEST_TIMEOUT_MS = 300_000;
const SILENCE_MS = 30_000;
const CONNECTIONS_MAX = 256;

/** The host name in a Host header or an Origin, without port; null if it is invalid. */
function hostNameOf(value: string): string | null {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]+))(?::\d{1,5})?$/.exec(value);
  return (match?.[1] ?? match?.[2])?.toLowerCase() ?? null;
}

/**
 * Whether a request names another host. A page of another origin whose name was rebound to our
 * address (DNS rebinding) sends its own name, so only addresses and localhost pass.
 */
function isForeign(request: IncomingMessage): boolean {
  const isOurs = (value: string): boolean => {
    const name = hostNameOf(value);
    return name !== null && (name === 'localhost' || isIP(name) !== 0);
  };
  const { host, origin } = request.headers;
  if (host === undefined || !isOurs(host)) return true;
  return origin !== undefined && origin.replace(/^https?:\/\//, '') !== host;
}

export class Admin {
  readonly #server: Server;
  readonly #view: AdminView;
  readonly #api: AdminApi | undefined;
  #metrics: Metrics | undefined;

  constructor(view: AdminView, api?: AdminApi) {
    this.#view = view;
    this.#api = api;
    this.#server = createServer(
      {
        maxHeaderSize: HEADER_BYTES_MAX,
        requestTimeout: REQUEST_TIMEOUT_MS,
        headersTimeout: HEADERS_TIMEOUT_MS,
        keepAliveTimeout: HEADERS_TIMEOUT_MS,
      },
      (request, response) => {
        this.#answer(request, response).catch(() => {
          response.destroy();
        });
      },
    );
    this.#server.maxConnections = CONNECTIONS_MAX;
    this.#server.setTimeout(SILENCE_MS);
  }

  /**
   * Listens; resolves to the port.
   *
   * @throws MegacometError `ERR_ADMIN_LISTEN`, naming the option to change.
   */
  listen(host: string, port: number): Promise<number> {
    return listen(this.#server, host, port, ({ code = '' }) => {
      const hint = code === 'EADDRINUSE' ? 'choose another --admin-port' : 'see --admin-host';
      const message = `the admin server cannot listen on ${host}:${port} (${code}): ${hint}`;
      return new MegacometError('ERR_ADMIN_LISTEN', message);
    });
  }

  async close(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.setHeader('Cache-Control', 'no-store');
    response.setHeader('X-Content-Type-Options', 'nosniff');
    if (isForeign(request)) {
      send(response, 403, 'application/json', '{"error":"foreign Host or Origin"}');
    } else if (this.#api !== undefined && (await this.#api.handle(request, response))) {
      return;
    } else if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('Allow', 'GET, HEAD');
      send(response, 405, 'application/json', '{"error":"only GET and HEAD"}');
    } else {
      await this.#route((request.url ?? '').split('?')[0] ?? '', response);
    }
  }

  async #route(path: string, response: ServerResponse): Promise<void> {
    switch (path) {
      case '/healthz':
        send(response, 200, 'application/json', '{"status":"alive"}');
        return;
      case '/readyz': {
        const readiness = this.#view.readiness();
        send(response, readiness.isReady ? 200 : 503, 'application/json', toJson(readiness));
        return;
      }
      case '/stats':
        send(response, 200, 'application/json', toJson(this.#view.stats()));
        return;
      case '/metrics': {
        const stats = this.#view.stats();
        this.#metrics ??= new Metrics(stats, METRIC_TABLES);
        const text = await this.#metrics.render(stats);
        send(response, 200, this.#metrics.contentType, text);
        return;
      }
      default:
        send(response, 404, 'application/json', '{"error":"no such page"}');
    }
  }
}

function send(response: ServerResponse, status: number, type: string, body: string): void {
  const bytes = Buffer.from(`${body}\n`);
  response.writeHead(status, { 'Content-Type': type, 'Content-Length': bytes.length });
  response.end(bytes);
}
