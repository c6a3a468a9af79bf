// The admin server: health, readiness, stats, metrics and publishing over HTTP. It sees the server
// through a read-only view, and denies by default: loopback, and no pages of other sites.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';

import { MegacometError } from '../base/errors.js';
import { forkedCopyHint } from '../base/forked-copy.js';
import { formatExactJson } from '../base/exact-json.js';
import { Metrics } from '../stats/metrics.js';
import type { Stats } from '../stats/stats.js';
import { AdminConnections } from './admin-connections.js';
import { checkRequest, type Target } from './admin-request.js';
import { listen } from './listen.js';
import { METRIC_TABLES } from './metric-tables.js';
import { API_PATHS } from './publish-api.js';
import { Rendered } from './rendered.js';
import { Rejection } from './request-body.js';

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
  readonly protocol: string;
  stats(): Stats;
  readiness(): Readiness;
}

/** Answers requests for its own paths; returns false for any other, without an answer. */
export interface AdminApi {
  /** @param trust - Called when the request has the token. */
  handle(
    request: IncomingMessage,
    response: ServerResponse,
    target: Target,
    trust: () => void,
  ): Promise<boolean>;
}

/**
 * Limits of a request. They are low because many may reach the port, and no option changes them:
 * browsers with cookies and proxies with tracing headers connect to the public port.
 */
export const HEADER_BYTES_MAX = 8192;
export const HEADERS_TIMEOUT_MS = 5000;
/** Node checks the time limits of all connections in this interval. */
const CHECK_INTERVAL_MS = 1000;
/** A batch of 64 MiB over a slow link. A sender that stops is disconnected after SILENCE_MS. */
const REQUEST_TIMEOUT_MS = 300_000;
export const SILENCE_MS = 30_000;

const JSON_TYPE = 'application/json';

interface Page {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

export class Admin {
  readonly #server: Server;
  readonly #view: AdminView;
  readonly #api: AdminApi | undefined;
  readonly #connections: AdminConnections;
  #metrics: Metrics | undefined;
  readonly #stats = new Rendered(() => Promise.resolve(formatExactJson(this.#view.stats())));
  readonly #metricsText = new Rendered(() => this.#renderMetrics());

  constructor(view: AdminView, api?: AdminApi) {
    this.#view = view;
    this.#api = api;
    this.#server = createServer({
      maxHeaderSize: HEADER_BYTES_MAX,
      requestTimeout: REQUEST_TIMEOUT_MS,
      headersTimeout: HEADERS_TIMEOUT_MS,
      keepAliveTimeout: HEADERS_TIMEOUT_MS,
      connectionsCheckingInterval: CHECK_INTERVAL_MS,
    });
    this.#connections = new AdminConnections(this.#server, (request, response) =>
      this.#answer(request, response),
    );
    this.#server.setTimeout(SILENCE_MS);
  }

  /**
   * Listens; resolves to the port.
   *
   * @throws MegacometError `ERR_ADMIN_LISTEN`, naming the option to change.
   */
  listen(host: string, port: number): Promise<number> {
    return listen(this.#server, host, port, ({ code = '' }) => {
      const isTaken = code === 'EADDRINUSE';
      const hint = isTaken ? `choose another --admin-port${forkedCopyHint()}` : 'see --admin-host';
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
    try {
      const target = checkRequest(request);
      const trust = (): void => {
        this.#connections.trust(request.socket);
      };
      if ((await this.#api?.handle(request, response, target, trust)) === true) return;
      send(response, await this.#route(request.method ?? '', target));
    } catch (error) {
      if (!(error instanceof Rejection)) throw error;
      const { status, message, headers } = error;
      for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
      const body = JSON.stringify({ error: message });
      send(response, { status, type: JSON_TYPE, body });
    }
  }

  async #route(method: string, { path }: Target): Promise<Page> {
    const page = this.#pages.get(path);
    if (page === undefined) throw new Rejection(404, this.#unknown(path));
    if (method === 'GET' || method === 'HEAD') return page();
    throw new Rejection(405, 'only GET and HEAD', { Allow: 'GET, HEAD' });
  }

  /** The sentence about a path that does not exist. */
  #unknown(path: string): string {
    const { protocol } = this.#view;
    if (!API_PATHS.includes(path)) return 'no such page';
    return `this server speaks ${protocol}; ${path} needs --protocol comet`;
  }

  readonly #pages = new Map<string, () => Promise<Page>>([
    [
      '/healthz',
      (): Promise<Page> =>
        Promise.resolve({ status: 200, type: JSON_TYPE, body: '{"status":"alive"}' }),
    ],
    [
      '/readyz',
      (): Promise<Page> => {
        const readiness = this.#view.readiness();
        const status = readiness.isReady ? 200 : 503;
        return Promise.resolve({ status, type: JSON_TYPE, body: JSON.stringify(readiness) });
      },
    ],
    [
      '/stats',
      async (): Promise<Page> => ({
        status: 200,
        type: JSON_TYPE,
        body: await this.#stats.get(),
      }),
    ],
    [
      '/metrics',
      async (): Promise<Page> => {
        const body = await this.#metricsText.get();
        return { status: 200, type: this.#metrics?.contentType ?? '', body };
      },
    ],
  ]);

  #renderMetrics(): Promise<string> {
    const stats = this.#view.stats();
    this.#metrics ??= new Metrics(stats, METRIC_TABLES);
    return this.#metrics.render(stats);
  }
}

function send(response: ServerResponse, { status, type, body }: Page): void {
  const bytes = Buffer.from(`${body}\n`);
  response.writeHead(status, { 'Content-Type': type, 'Content-Length': bytes.length });
  response.end(bytes);
}
