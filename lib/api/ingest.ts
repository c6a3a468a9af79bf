// Ingest: takes messages from applications over the TCP protocol of MegaComet, for the mailboxes.
// The protocol has no answers: a server that cannot follow stops reading until it can.
import { createServer, type Server, type Socket } from 'node:net';

import { formatAddress, isLoopback, parseAddress } from '../base/address.js';
import { MegacometError } from '../base/errors.js';
import { forkedCopyHint } from '../base/forked-copy.js';
import type { Logger } from '../base/logger.js';
import { counter, gauge, valuesOf, type ValuesOf } from '../base/metric.js';
import {
  IngestApplication,
  IngestTotals,
  type DeliveryTarget,
  type IngestOptions,
} from './ingest-application.js';
import { listen } from './listen.js';

/** Applications connected at most: a handful is usual. */
const CONNECTIONS_MAX = 256;
const INSIDE_TIMEOUT_MS = 30_000;

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
      (ingest: Ingest) => ingest.#totals.announced,
    ),
    messagesTotal: counter(
      'ingest_messages_total',
      'Messages of applications that were put into mailboxes.',
      (ingest: Ingest) => ingest.#totals.messages,
    ),
    rejectedTotal: counter(
      'ingest_rejected_total',
      'Messages of applications that mailboxes rejected, because the id is invalid. Look at the ' +
        'application.',
      (ingest: Ingest) => ingest.#totals.rejected,
    ),
    faultsTotal: counter(
      'ingest_faults_total',
      'Applications disconnected because they broke the protocol, sent too long a message, or ' +
        'stopped inside one.',
      (ingest: Ingest) => ingest.#totals.faults,
    ),
  };

  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #totals = new IngestTotals();

  constructor(target: DeliveryTarget, options: IngestOptions) {
    const complete = {
      messageBytesMax: options.messageBytesMax,
      insideTimeoutMs: options.insideTimeoutMs ?? INSIDE_TIMEOUT_MS,
    };
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      new IngestApplication(socket, target, complete, this.#totals);
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
    this.#totals.isClosed = true;
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
