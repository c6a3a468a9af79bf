// Ingest: takes messages from applications over the TCP protocol of MegaComet, for the mailboxes.
// The protocol has no answers: a server that cannot follow stops reading until it can.
import { isUtf8 } from 'node:buffer';
import { createServer, type Server, type Socket } from 'node:net';

import { formatAddress, isLoopback, parseAddress } from '../base/address.js';
import { MegacometError } from '../base/errors.js';
import { forkedCopyHint } from '../base/forked-copy.js';
import type { Logger } from '../base/logger.js';
import { counter, gauge, valuesOf, type ValuesOf } from '../base/metric.js';
import { CHANNEL_BYTES_MAX } from '../base/native-constants.js';
import { isChannel } from '../base/channel-name.js';
import { IngestFault, IngestParser, type IngestCommand } from './ingest-parser.js';
import { listen } from './listen.js';

/** The mailboxes, which keep messages until clients fetch them. */
export interface DeliveryTarget {
  /** @throws MegacometError; `ERR_BUSY` when a later attempt may succeed. */
  deliver(id: string, message: Buffer): void;
}

export interface IngestOptions {
  /** Bytes of one message. */
  readonly messageBytesMax: number;
  /** Longest time from the first byte of a command to its last. Between commands it is not limited. */
  readonly insideTimeoutMs?: number;
}

/** Applications connected at most: a handful is usual. */
const CONNECTIONS_MAX = 256;
/** Commands of one application in one loop iteration: about 2 ms. */
const COMMANDS_PER_ITERATION = 1000;
/** Pause of a connection whose message met ERR_BUSY. */
const BUSY_RETRY_MS = 20;
const INSIDE_TIMEOUT_MS = 30_000;
const KEEPALIVE_MS = 60_000;

/** State that all connections of a server share. */
class Shared {
  isClosed = false;
  announced = 0;
  messages = 0;
  rejected = 0;
  faults = 0;
}

/** One application's connection. */
class Application {
  readonly #socket: Socket;
  readonly #parser: IngestParser;
  readonly #target: DeliveryTarget;
  readonly #shared: Shared;
  readonly #insideTimeoutMs: number;
  /** Runs while a command is incomplete. */
  #timer: NodeJS.Timeout | undefined;
  /** A message that met ERR_BUSY. */
  #held: IngestCommand | null = null;

  constructor(
    socket: Socket,
    target: DeliveryTarget,
    options: Required<IngestOptions>,
    shared: Shared,
  ) {
    this.#socket = socket;
    this.#target = target;
    this.#shared = shared;
    const { messageBytesMax, insideTimeoutMs } = options;
    this.#parser = new IngestParser({ idBytesMax: CHANNEL_BYTES_MAX, messageBytesMax });
    socket.setKeepAlive(true, KEEPALIVE_MS);
    this.#insideTimeoutMs = insideTimeoutMs;
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.#stopTimer();
    });
    socket.on('data', (chunk: Buffer) => {
      this.#parser.feed(chunk);
      this.#work();
    });
  }

  #end(): void {
    this.#shared.faults++;
    this.#socket.destroy();
  }

  /** Handles the received commands, or stops reading until the server can follow. */
  #work(): void {
    if (this.#shared.isClosed) return;
    // Also after the connection closed: its complete commands still count.
    try {
      for (let commands = 0; commands < COMMANDS_PER_ITERATION; commands++) {
        const command = this.#held ?? this.#parser.next();
        this.#held = null;
        if (command === null) {
          this.#time(commands > 0);
          this.#socket.resume();
          return;
        }
        if (!this.#handle(command)) {
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

  /** Times the incomplete command. A byte now and then must not keep a connection without end. */
  #time(isAnother: boolean): void {
    if (!this.#parser.isInside || isAnother) this.#stopTimer();
    if (!this.#parser.isInside || this.#socket.destroyed) return;
    this.#timer ??= setTimeout(() => {
      this.#end();
    }, this.#insideTimeoutMs);
  }

  #stopTimer(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #later(schedule: (work: () => void) => unknown): void {
    // The rest is not read meanwhile: its sender is not late.
    this.#stopTimer();
    this.#socket.pause();
    schedule(() => {
      this.#work();
    });
  }

  /** False if the server is busy, and the command has to be retried. */
  #handle(command: IngestCommand): boolean {
    if (command.name === 'announce') {
      this.#shared.announced++;
      return true;
    }
    const id = command.id.toString();
    // Decoding an id that is not UTF-8 could give the id of another client.
    if (!isUtf8(command.id) || !isChannel(id)) {
      this.#shared.rejected++;
      return true;
    }
    try {
      this.#target.deliver(id, command.message);
      this.#shared.messages++;
    } catch (error) {
      if (!(error instanceof MegacometError)) throw error;
      // ERR_NOT_RUNNING: the server is starting, or about to end.
      if (error.code === 'ERR_BUSY' || error.code === 'ERR_NOT_RUNNING') return false;
      this.#shared.rejected++;
    }
    return true;
  }
}

export class Ingest {
  /** By their field in /stats, under `ingest`. */
  static readonly METRICS = {
    connections: gauge(
      'ingest_connections',
      'Applications connected to --ingest, 256 at most.',
      (ingest: Ingest) => ingest.#sockets.size,
    ),
    announcedTotal: counter(
      'ingest_announced_total',
      'Applications that announced themselves.',
      (ingest: Ingest) => ingest.#shared.announced,
    ),
    messagesTotal: counter(
      'ingest_messages_total',
      'Messages of applications that were put into mailboxes.',
      (ingest: Ingest) => ingest.#shared.messages,
    ),
    rejectedTotal: counter(
      'ingest_rejected_total',
      'Messages of applications that mailboxes rejected, because the id is invalid. Look at the ' +
        'application.',
      (ingest: Ingest) => ingest.#shared.rejected,
    ),
    faultsTotal: counter(
      'ingest_faults_total',
      'Applications disconnected because they broke the protocol, sent too long a message, or ' +
        'stopped inside one.',
      (ingest: Ingest) => ingest.#shared.faults,
    ),
  };

  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #shared = new Shared();

  constructor(target: DeliveryTarget, options: IngestOptions) {
    const complete = {
      messageBytesMax: options.messageBytesMax,
      insideTimeoutMs: options.insideTimeoutMs ?? INSIDE_TIMEOUT_MS,
    };
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      new Application(socket, target, complete, this.#shared);
    });
    this.#server.maxConnections = CONNECTIONS_MAX;
  }

  /** Present values of the metrics. */
  get counters(): ValuesOf<typeof Ingest.METRICS> {
    return valuesOf(Ingest.METRICS, this);
  }

  /**
   * Listens; resolves to the port.
   *
   * @throws MegacometError `ERR_LISTEN`, naming the option to change.
   */
  listen(host: string, port: number): Promise<number> {
    return listen(this.#server, host, port, (error) => {
      const address = formatAddress({ isUnix: false, host, port });
      const hint = error.code === 'EADDRINUSE' ? forkedCopyHint() : '';
      const reason = `(${error.code ?? error.message})${hint}`;
      return new MegacometError('ERR_LISTEN', `cannot listen on --ingest ${address} ${reason}`);
    });
  }

  /** Stops listening and disconnects the applications. Held messages are lost. */
  async close(): Promise<void> {
    this.#shared.isClosed = true;
    if (!this.#server.listening) return;
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}

/** The address of `--ingest`. */
export interface IngestAddress {
  readonly text: string;
  readonly host: string;
  readonly port: number;
}

/**
 * Reads the address of `--ingest`, and opens nothing.
 *
 * @throws MegacometError `ERR_OPTION_INVALID`.
 */
export function ingestAddressOf(text: string): IngestAddress {
  const { host, port } = parseAddress('ingest', text, false);
  return { text, host, port };
}

/** Takes messages at an address. @throws MegacometError `ERR_LISTEN`. */
export async function openIngest(
  address: IngestAddress,
  target: DeliveryTarget,
  options: IngestOptions,
  log: Logger,
): Promise<{ readonly ingest: Ingest; readonly port: number }> {
  const ingest = new Ingest(target, options);
  const port = await ingest.listen(address.host, address.port);
  if (!isLoopback(address.host)) {
    log.warn(
      { ingest: address.text },
      '--ingest listens beyond loopback: any host that reaches it can send to every client',
    );
  }
  return { ingest, port };
}
