// Takes messages from the ancestor's applications, over their own protocol.
// The protocol has no answers: a server that cannot follow stops reading until it can.
import { createServer, type Server, type Socket } from 'node:net';

import {
  CHANNEL_BYTES_MAX,
  isChannel,
  isText,
  MESSAGE_BYTES_DEFAULT,
  type IngestCounters,
} from '../ipc/comet.js';
import { MegacometError } from '../base/errors.js';
import { IngestFault, IngestParser, type IngestCommand } from './ingest-parser.js';
import { formatAddress, parseAddress } from '../base/address.js';
import type { Logger } from '../base/logger.js';

/** Where messages for clients wait until they are fetched. */
export interface Inboxes {
  /** @throws MegacometError; `ERR_BUSY` when a later try may succeed. */
  deliver(id: string, message: Buffer): void;
}

export interface IngestOptions {
  readonly messageBytesMax?: number;
  /** Longest silence inside a command. Between commands an application may be silent for ever. */
  readonly insideTimeoutMs?: number;
}

/** Applications connected at most: a handful is usual. */
const CONNECTIONS_MAX = 256;
/** Commands of one application before others have their turn: about 2 ms. */
const COMMANDS_PER_TURN = 1000;
/** Pause of a connection whose message finds a worker busy. */
const BUSY_RETRY_MS = 20;
const INSIDE_TIMEOUT_MS = 30_000;
const KEEPALIVE_MS = 60_000;

/** Shared by all connections of a server. */
interface Life {
  isOver: boolean;
}

type Mutable = { -readonly [K in keyof IngestCounters]: IngestCounters[K] };

/** One application's connection. */
class Application {
  readonly #socket: Socket;
  readonly #parser: IngestParser;
  readonly #inboxes: Inboxes;
  readonly #counters: Mutable;
  /** A message that found the server busy. */
  #held: IngestCommand | null = null;
  readonly #life: Life;

  constructor(
    socket: Socket,
    inboxes: Inboxes,
    options: Required<IngestOptions>,
    counters: Mutable,
    life: Life,
  ) {
    this.#socket = socket;
    this.#inboxes = inboxes;
    this.#counters = counters;
    this.#life = life;
    const { messageBytesMax, insideTimeoutMs } = options;
    this.#parser = new IngestParser({ idBytesMax: CHANNEL_BYTES_MAX, messageBytesMax });
    socket.setKeepAlive(true, KEEPALIVE_MS);
    socket.setTimeout(insideTimeoutMs);
    socket.on('error', () => undefined);
    socket.on('timeout', () => {
      if (this.#parser.isInside && this.#held === null) this.#end();
    });
    socket.on('data', (chunk: Buffer) => {
      this.#parser.feed(chunk);
      this.#work();
    });
  }

  #end(): void {
    this.#counters.faultsTotal++;
    this.#socket.destroy();
  }

  /** Does what has come, or stops reading until it can. */
  #work(): void {
    if (this.#life.isOver) return;
    // Also for a connection that is gone: what it sent whole is taken in.
    try {
      for (let commands = 0; commands < COMMANDS_PER_TURN; commands++) {
        const command = this.#held ?? this.#parser.next();
        this.#held = null;
        if (command === null) {
          this.#socket.resume();
          return;
        }
        if (!this.#do(command)) {
          this.#held = command;
          this.#later((work) => setTimeout(work, BUSY_RETRY_MS));
          return;
        }
      }
    } catch (error) {
      if (!(error instanceof IngestFault)) throw error;
      this.#end();
      return;
    }
    this.#later(setImmediate);
  }

  #later(schedule: (work: () => void) => unknown): void {
    this.#socket.pause();
    schedule(() => {
      this.#work();
    });
  }

  /** False when the server is busy. */
  #do(command: IngestCommand): boolean {
    if (command.name === 'announce') {
      this.#counters.announcedTotal++;
      return true;
    }
    const id = command.id.toString();
    // An id that is not UTF-8 would become that of somebody else.
    if (!isText(command.id) || !isChannel(id)) {
      this.#counters.rejectedTotal++;
      return true;
    }
    try {
      this.#inboxes.deliver(id, command.message);
      this.#counters.messagesTotal++;
    } catch (error) {
      if (!(error instanceof MegacometError)) throw error;
      // Also while the server is about to start, or to end.
      if (error.code === 'ERR_BUSY' || error.code === 'ERR_NOT_RUNNING') return false;
      this.#counters.rejectedTotal++;
    }
    return true;
  }
}

export class Ingest {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #life: Life = { isOver: false };
  readonly #counters: Mutable = {
    connections: 0,
    announcedTotal: 0,
    messagesTotal: 0,
    rejectedTotal: 0,
    faultsTotal: 0,
  };

  constructor(inboxes: Inboxes, options: IngestOptions = {}) {
    const complete = {
      messageBytesMax: options.messageBytesMax ?? MESSAGE_BYTES_DEFAULT,
      insideTimeoutMs: options.insideTimeoutMs ?? INSIDE_TIMEOUT_MS,
    };
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      new Application(socket, inboxes, complete, this.#counters, this.#life);
    });
    this.#server.maxConnections = CONNECTIONS_MAX;
  }

  get counters(): IngestCounters {
    return { ...this.#counters, connections: this.#sockets.size };
  }

  /**
   * Listens; resolves to the port.
   *
   * @throws MegacometError `ERR_LISTEN`, naming the option to change.
   */
  listen(host: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', (error: NodeJS.ErrnoException) => {
        const place = formatAddress({ isUnix: false, host, port });
        const message = `cannot listen on --ingest ${place} (${error.code ?? error.message})`;
        reject(new MegacometError('ERR_LISTEN', message));
      });
      this.#server.listen(port, host, () => {
        const address = this.#server.address();
        resolve(typeof address === 'object' && address !== null ? address.port : port);
      });
    });
  }

  /** Stops listening and drops the applications. What found the server busy is lost. */
  async close(): Promise<void> {
    this.#life.isOver = true;
    if (!this.#server.listening) return;
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}

/** Where `--ingest` takes messages: what its text says. */
export interface IngestPlace {
  readonly text: string;
  readonly host: string;
  readonly port: number;
}

/**
 * Reads the address of `--ingest`, and opens nothing.
 *
 * @throws MegacometError `ERR_OPTION_INVALID`.
 */
export function ingestPlaceOf(text: string, protocol: string): IngestPlace {
  if (protocol !== 'comet') {
    throw new MegacometError('ERR_OPTION_INVALID', `ingest: "${text}" needs --protocol comet`);
  }
  const { isUnix, host, port } = parseAddress('ingest', text);
  if (isUnix) {
    throw new MegacometError('ERR_OPTION_INVALID', `ingest: "${text}" is not a numeric HOST:PORT`);
  }
  return { text, host, port };
}

/** Takes messages at a place. @throws MegacometError `ERR_LISTEN`. */
export async function openIngest(
  place: IngestPlace,
  inboxes: Inboxes,
  options: IngestOptions,
  log: Logger,
): Promise<{ readonly ingest: Ingest; readonly port: number }> {
  const ingest = new Ingest(inboxes, options);
  const port = await ingest.listen(place.host, place.port);
  if (!/^(127\.|::1$)/.test(place.host)) {
    log.warn(
      { ingest: place.text },
      'whoever reaches --ingest can send to every client: use loopback',
    );
  }
  return { ingest, port };
}
