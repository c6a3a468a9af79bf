// The options of createServer(): what they mean, and how they are read.
import { defaultsOf } from '../options/config.js';
import type { Logger } from '../base/logger.js';
import { keyOf, libraryOptions, parseOption, unknownOption } from '../options/options.js';

/** Options of {@link createServer}; each is also an option of `megacomet-ts serve`. */
export interface ServerOptions {
  /** Numeric address; default `::`, which takes IPv4 peers too. */
  host?: string;
  /** One, or a range such as `8000-8007`; default 8000, 0 lets the kernel choose. */
  port?: number | string;
  /** `HOST:PORT`, `[V6]:PORT` or `unix:PATH`; default: what `host` and `port` say. */
  listen?: readonly string[];
  /** Worker processes, 1 to 512; default `auto`: one per core, more if descriptors need it. */
  workers?: number | 'auto';
  /** Connections held at most; default: what the machine allows. */
  maxConnections?: number;
  /** Default `echo`; `comet` serves subscribers over SSE, WebSocket, long polling and streams. */
  protocol?: 'comet' | 'echo';
  /** Connections that may wait to be accepted, per worker; default 4096. */
  backlog?: number;
  /** Seconds without a byte until a connection is closed; default 0: never. */
  idleTimeout?: number;
  /** Connections accepted per second by the whole server; default 0: no limit. */
  acceptRate?: number;
  /** Seconds of silence until TCP keep-alive probes; default 240, 0 for none. */
  keepalive?: number;
  /** Seconds without a beat until a worker is replaced; default 10. */
  heartbeatLimit?: number;
  /** Numeric address of the admin server; default 127.0.0.1. */
  adminHost?: string;
  /** Port of the admin server, 0 for any; default: no admin server. */
  adminPort?: number;
  /** Comet: seconds between heartbeats of an idle subscriber; default 25. */
  heartbeat?: number;
  /** Comet: seconds that a long poll waits at most; default 30. */
  pollTimeout?: number;
  /** Comet: seconds that a client has for a whole request or WebSocket message; default 10. */
  handshakeTimeout?: number;
  /** Comet: seconds in which a client must take something of what it is owed; default 30. */
  writeTimeout?: number;
  /** Comet: seconds that a worker remembers a channel without subscribers; default 60. */
  channelRetention?: number;
  /** Comet: milliseconds after which an EventSource comes back, about; default 2000. */
  retry?: number;
  /** Comet: bytes of one message, at most; default 65,536. */
  messageBytes?: number;
  /** Comet: bytes that may wait for one slow client; default 65,536. */
  sendQueueBytes?: number;
  /** Comet: bytes that may wait for all slow clients of one worker; default 256 MiB. */
  workerSendQueueBytes?: number;
  /** Comet: bytes of half-read requests and messages of one worker; default 64 MiB. */
  workerInputBytes?: number;
  /** Comet: channels of one connection; default 128. */
  channelsPerConnection?: number;
  /** Comet: messages kept of each channel; default 100, 0 for none. */
  historyCount?: number;
  /** Comet: seconds that a message is kept; default 300. */
  historyAge?: number;
  /** Comet: memory for the messages of all channels, in bytes; default 128 MiB. */
  historyBytes?: number;
  /** Comet: seconds that a message waits for a client that polls `/ID.js`; default 60. */
  mailboxTime?: number;
  /** Comet: `HOST:PORT` that takes messages for `/ID.js` over plain TCP; default: none. */
  ingest?: string;
  /** Comet: origins whose pages may read and open WebSockets, `*` being all; default: its own. */
  origin?: readonly string[];
  /** Comet: whether WebSocket clients may publish; default false. */
  clientPublish?: boolean;
  /** Comet: whoever has it may publish and kick over HTTP on the admin server; default: nobody. */
  adminToken?: string;
  /** Comet: file whose only line is that token; default: none. */
  adminTokenFile?: string;
  /** Comet: whether to serve `/ws-echo`; default false. */
  wsEcho?: boolean;
  /** User that the workers run as, when this process is root; default: its own. */
  user?: string;
  /** Where log lines go; a pino instance fits. Default: nowhere. */
  logger?: Logger;
}

/** What can be changed while the server runs. */
export type Adjustments = Pick<ServerOptions, 'acceptRate' | 'idleTimeout' | 'maxConnections'>;

/** Options that may be left open. */
type Unset =
  | 'adminPort'
  | 'adminToken'
  | 'adminTokenFile'
  | 'ingest'
  | 'listen'
  | 'maxConnections'
  | 'origin'
  | 'user';

/** Options with their defaults. */
export type Filled = Required<Omit<ServerOptions, Unset | 'logger'>> & Pick<ServerOptions, Unset>;

/**
 * Reads the options of the library, and fills in defaults.
 *
 * @throws MegacometError `ERR_OPTION_INVALID` or `ERR_OPTION_UNKNOWN`.
 */
export function fill(options: ServerOptions): Filled {
  const specs = libraryOptions();
  const keys = specs.map((spec) => keyOf(spec.name));
  const given: Record<string, unknown> = {};
  for (const [key, raw] of Object.entries(options)) {
    if (key === 'logger' || raw === undefined) continue;
    const spec = specs[keys.indexOf(key)];
    if (spec === undefined) throw unknownOption('createServer', key, [...keys, 'logger']);
    given[key] = parseOption(spec, `createServer: ${key}`, raw);
  }
  // Without a port the library has no admin server; the command line always gives one.
  const withDefault = specs.filter((spec) => spec.name !== 'admin-port');
  return { ...defaultsOf(withDefault), ...given } as unknown as Filled;
}
