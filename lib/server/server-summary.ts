// The summary of a server: for dashboards, and for scripts that check a deployment.
import type { Stats } from '../stats/stats.js';
import type { Filled } from './server-options.js';

/** The server in brief, as info() and `/info` report it. */
export interface ServerSummary {
  /** Version of this package. */
  readonly version: string;
  /** The value of `--protocol`. */
  readonly protocol: string;
  /** Addresses, as `HOST:PORT`, `[V6]:PORT` or `unix:PATH`; with TLS behind `tls:`. */
  readonly listen: readonly string[];
  /** Addresses of the admin server, as `HOST:PORT`, `tls:HOST:PORT` or `unix:PATH`. */
  readonly admin: readonly string[];
  /** Whole seconds after the start. */
  readonly uptimeSeconds: number;
  /** Whether close() has begun. */
  readonly isDraining: boolean;
  /** Workers of the server. */
  readonly workers: number;
  /** Workers that serve. */
  readonly workersServing: number;
  /** Open connections. */
  readonly connections: number;
  /** Connections that the server may hold. */
  readonly maxConnections: number;
  /** Subscriptions of connections to channels. */
  readonly subscriptions: number;
  /** Channels with subscribers; 0 unless the protocol is comet. */
  readonly channels: number;
  /** Which features the options turn on. */
  readonly features: Readonly<Record<string, boolean>>;
}

function featuresOf(options: Filled): Readonly<Record<string, boolean>> {
  const isComet = options.protocol === 'comet';
  const isOn = (value: unknown): boolean => value !== undefined && value !== false;
  const has = (value: unknown): boolean => isComet && isOn(value);
  return {
    tls: isOn(options.tlsCert),
    tokens: has(options.tokenKey) || has(options.tokenJwksUrl),
    jwks: has(options.tokenJwksUrl),
    signedUrls: has(options.signKey),
    hook: has(options.hookUrl) || has(options.authorize),
    public: has(options.public),
    history: isComet && options.historyCount > 0,
    clientPublish: has(options.clientPublish),
    mailboxes: has(options.mailboxes) || has(options.ingest),
    mailboxAuth: isComet && options.mailboxAuth === 'signed',
    ingest: has(options.ingest),
    proxyProtocol: isOn(options.proxyProtocol),
    namespaces: has(options.namespaces),
    websocketCompression: has(options.websocketCompression),
  };
}

export function summaryOf(stats: Stats, options: Filled, admin: readonly string[]): ServerSummary {
  const { version, protocol, listen, uptimeSeconds, isDraining, maxConnections } = stats;
  return {
    ...{ version, protocol, listen, admin, uptimeSeconds, isDraining, maxConnections },
    workers: stats.workers.length,
    workersServing: stats.workers.filter(({ state }) => state === 'serving').length,
    connections: Number(stats.totals['connections']),
    subscriptions: Number(stats.totals['subscriptions']),
    channels: stats.messages?.['subscribedChannels'] ?? 0,
    features: featuresOf(options),
  };
}
