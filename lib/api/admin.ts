// The admin server: health, readiness, stats, metrics and publishing over HTTP. It sees the server
// through a read-only view, and denies by default: loopback, and no pages of other sites.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, Server as TlsServer } from 'node:https';
import type { SecureContext, SecureContextOptions } from 'node:tls';

import { formatAddress, type Address } from '../base/address.js';
import { MegacometError } from '../base/errors.js';
import { forkedCopyHint } from '../base/forked-copy.js';
import { formatExactJson } from '../base/exact-json.js';
import type { ValuesOf } from '../base/metric.js';
import { Metrics } from '../stats/metrics.js';
import type { Stats } from '../stats/stats.js';
import { removeSocket, type SocketFile } from '../system/socket-file.js';
import { AdminConnections } from './admin-connections.js';
import { AdminGate } from './admin-gate.js';
import { FIELDS_MAX, pathOf, type Target } from './admin-request.js';
import type { AdminTokens } from './admin-tokens.js';
import { JSON_TYPE, ResponseCounts, type EndpointCounts, type ServerPath } from './endpoints.js';
import { listen, listenOnPath } from './listen.js';
import { METRIC_TABLES } from './metric-tables.js';
import { Rendered } from './rendered.js';
import { Rejection } from './request-body.js';
import { bytesOf, reject, respond } from './response.js';

/** Whether a server should get new clients, as readiness() and `/readyz` report it. */
export interface Readiness {
  /** At least half of the slots serve, the log works, and the server does not drain. */
  readonly isReady: boolean;
  /** Whether close() has begun. */
  readonly isDraining: boolean;
  /** Whether the log takes messages and returns them; null for a server without one. */
  readonly isLogReady: boolean | null;
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
  /** The server in brief. */
  info(): object;
  readiness(): Readiness;
}

/** Answers requests for its own paths; returns false for any other, without an answer. */
export interface AdminApi {
  handle(request: IncomingMessage, response: ServerResponse, target: Target): Promise<boolean>;
}

export interface AdminOptions {
  readonly tokens: AdminTokens;
  /** Whether only this machine reaches the server. */
  readonly isLocal: boolean;
  /** Host names that requests may have besides addresses and localhost. */
  readonly allowedHosts: readonly string[];
  /** Required to listen on an address with TLS. */
  readonly certificates?: AdminCertificates;
}

/** Certificates by the host name that a client asks for. */
export interface AdminCertificates {
  /** For a client that names no host, or one without a certificate. */
  readonly options: SecureContextOptions;
  contextOf(host: string): SecureContext | undefined;
}

/**
 * Limits of a request. They are low because many may reach the port, and no option changes them:
 * browsers with cookies and proxies with tracing headers connect to the public port.
 */
export const HEADER_BYTES_MAX = 8192;
export const HEADERS_TIMEOUT_MS = 5000;
/**
 * A publisher keeps idle connections in a pool, in Go for 90 s, and sends a message on one of them: the
 * message fails if the server closes that connection at the same moment, so the pool has to be first.
 */
export const KEEP_ALIVE_TIMEOUT_MS = 95_000;
/** Node checks the time limits of all connections in this interval. */
const CHECK_INTERVAL_MS = 1000;
/** A batch of 64 MiB over a slow link. A sender that stops is disconnected after SILENCE_MS. */
const REQUEST_TIMEOUT_MS = 300_000;
export const SILENCE_MS = 30_000;

const LIMITS = {
  maxHeaderSize: HEADER_BYTES_MAX,
  requestTimeout: REQUEST_TIMEOUT_MS,
  headersTimeout: HEADERS_TIMEOUT_MS,
  keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
  connectionsCheckingInterval: CHECK_INTERVAL_MS,
} as const;

interface Page {
  readonly status: number;
  readonly type?: string;
  readonly body: Buffer | string;
}

interface Listening {
  readonly server: Server | TlsServer;
  /** Of a unix socket. */
  readonly path: string | null;
}

function listenError(address: Address, code: string, call = 'bind'): MegacometError {
  const isTaken = code === 'EADDRINUSE';
  const [option, page] = address.isUnix
    ? ['--admin-listen', '--admin-listen']
    : ['--admin-port', '--admin-host'];
  const cause = call === 'bind' ? code : `${call}: ${code}`;
  const hint = isTaken ? `choose another ${option}${forkedCopyHint()}` : `see ${page}`;
  const message = `the admin server cannot listen on ${formatAddress(address)} (${cause}): ${hint}`;
  return new MegacometError('ERR_ADMIN_LISTEN', message);
}

export class Admin {
  readonly #servers: Listening[] = [];
  readonly #view: AdminView;
  readonly #api: AdminApi | undefined;
  readonly #connections: AdminConnections;
  readonly #gate: AdminGate;
  readonly #responses = new ResponseCounts();
  #certificates: AdminCertificates | undefined;
  #metrics: Metrics | undefined;
  readonly #stats = new Rendered(() =>
    Promise.resolve(bytesOf(formatExactJson(this.#view.stats()))),
  );
  readonly #info = new Rendered(() => Promise.resolve(bytesOf(JSON.stringify(this.#view.info()))));
  readonly #metricsText = new Rendered(() => this.#renderMetrics());

  constructor(view: AdminView, options: AdminOptions, api?: AdminApi) {
    this.#view = view;
    this.#api = api;
    this.#certificates = options.certificates;
    this.#gate = new AdminGate({ protocol: view.protocol, ...options });
    this.#connections = new AdminConnections((request, response) =>
      this.#answer(request, response),
    );
  }

  /** Present values of the metrics. */
  get counters(): ValuesOf<typeof AdminGate.METRICS & typeof AdminConnections.METRICS> {
    return { ...this.#gate.counters, ...this.#connections.counters };
  }

  /** Responses of each endpoint. */
  get responses(): EndpointCounts {
    return this.#responses.values;
  }

  /**
   * Listens on one more address; resolves to the address with its real port.
   *
   * @throws MegacometError `ERR_ADMIN_LISTEN`, naming the option to change.
   */
  async listen(address: Address, file: SocketFile): Promise<Address> {
    const server = this.#create(address.isTls === true);
    // Node ignores the fields beyond this, so the gate rejects such a request.
    server.maxHeadersCount = FIELDS_MAX;
    server.setTimeout(SILENCE_MS);
    this.#connections.serve(server);
    const { isUnix, host, port } = address;
    if (isUnix) {
      await listenOnPath(server, host, file, (call, code) => listenError(address, code, call));
      this.#servers.push({ server, path: host });
      return address;
    }
    const bound = await listen(server, host, port, ({ code = '' }) => listenError(address, code));
    this.#servers.push({ server, path: null });
    return { ...address, port: bound };
  }

  /** Replaces the certificates for connections from now on. */
  setCertificates(certificates: AdminCertificates): void {
    this.#certificates = certificates;
    for (const { server } of this.#servers) {
      if (server instanceof TlsServer) server.setSecureContext(certificates.options);
    }
  }

  #create(isTls: boolean): Server | TlsServer {
    if (!isTls) return createServer(LIMITS);
    return createTlsServer({
      ...LIMITS,
      ...this.#certificates?.options,
      SNICallback: (host, choose) => {
        choose(null, this.#certificates?.contextOf(host));
      },
    });
  }

  async close(): Promise<void> {
    const closed = this.#servers.splice(0).map(({ server, path }) => {
      const done = new Promise((resolve) => server.close(resolve));
      if (path !== null) removeSocket(path);
      return done;
    });
    this.#connections.destroyAll();
    await Promise.all(closed);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.once('close', () => {
      // A client that left before the response is in the counters of connections.
      if (response.headersSent) this.#responses.add(pathOf(request), response.statusCode);
    });
    response.setHeader('Cache-Control', 'no-store');
    response.setHeader('X-Content-Type-Options', 'nosniff');
    try {
      const { target, isTrusted } = this.#gate.admit(request);
      if (isTrusted) this.#connections.trust(request.socket);
      if ((await this.#api?.handle(request, response, target)) === true) return;
      const { status, body, type } = await this.#pages[target.path as ServerPath]();
      respond(response, status, body, type);
    } catch (error) {
      if (!(error instanceof Rejection)) throw error;
      reject(request, response, error);
    }
  }

  readonly #pages: Readonly<Record<ServerPath, () => Promise<Page>>> = {
    '/healthz': () => Promise.resolve({ status: 200, body: '{"status":"alive"}' }),
    '/readyz': () => {
      const readiness = this.#view.readiness();
      const status = readiness.isReady ? 200 : 503;
      return Promise.resolve({ status, body: JSON.stringify(readiness) });
    },
    '/info': async () => ({ status: 200, body: await this.#info.get() }),
    '/stats': async () => ({ status: 200, body: await this.#stats.get() }),
    '/metrics': async () => {
      const body = await this.#metricsText.get();
      return { status: 200, body, type: this.#metrics?.contentType ?? JSON_TYPE };
    },
  };

  async #renderMetrics(): Promise<Buffer> {
    const stats = this.#view.stats();
    this.#metrics ??= new Metrics(stats, METRIC_TABLES);
    return bytesOf(await this.#metrics.render(stats));
  }
}
