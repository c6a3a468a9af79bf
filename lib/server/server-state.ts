// The state of a server: metrics, readiness and health.
import type { AdminView, Readiness } from '../api/admin.js';
import { formatAddress } from '../base/address.js';
import type { Broker } from '../broker/broker.js';
import { cursorStart } from '../broker/cursor.js';
import type { LogStatus } from '../stats/log-status.js';
import { collectStats, type Stats, type WorkerMemory } from '../stats/stats.js';
import { procReader } from '../system/kernel.js';
import type { Health } from '../systemd/service.js';
import type { Parts } from './parts.js';
import { summaryOf, type ServerSummary } from './server-summary.js';
import type { Filled } from './server-options.js';

export interface ServerStateSources {
  readonly options: Filled;
  readonly parts: Parts;
  readonly memory: WorkerMemory;
}

function logStatus(broker: Broker | undefined): LogStatus | null {
  const state = broker?.log?.state;
  if (broker === undefined || state === undefined) return null;
  const epoch = cursorStart(broker.epoch).slice(0, -1);
  return { ...state, epoch, isCutOff: broker.isCutOff };
}

export class ServerState implements AdminView {
  readonly #sources: ServerStateSources;

  constructor(sources: ServerStateSources) {
    this.#sources = sources;
  }

  get protocol(): string {
    return this.#sources.options.protocol;
  }

  /** Addresses with their real ports. */
  get addresses(): readonly string[] {
    return this.#sources.parts.addresses.map(({ address }) => formatAddress(address));
  }

  /** Those of the admin server. */
  get adminAddresses(): readonly string[] {
    return this.#sources.parts.adminAddresses.map(formatAddress);
  }

  /** See Server.stats(). */
  stats(): Stats {
    const { parts, memory } = this.#sources;
    const { manager, capacity } = parts.running();
    const { messaging, ingest, admin, startedAtMs } = parts;
    return collectStats(
      {
        startedAtMs,
        protocol: this.protocol,
        listen: this.addresses,
        maxConnections: capacity.maxConnections,
        isDraining: parts.isClosing,
        workerFaultsTotal: manager.workerFaults,
        mailboxes: messaging?.broker.mailboxes.counters ?? null,
        ingest: ingest?.counters ?? null,
        admin: admin?.counters ?? null,
        adminResponses: admin?.responses ?? null,
        messages: messaging?.counters ?? null,
        hook: messaging?.hookCounters ?? null,
        log: messaging?.broker.log?.counters ?? null,
        cluster: messaging?.broker.log?.clusterCounters ?? null,
        logState: logStatus(messaging?.broker),
        tlsCertificateDaysLeft: parts.tls?.daysLeft ?? null,
      },
      manager.registry.slots,
      manager.segmentReader,
      memory,
      procReader,
    );
  }

  /** See Server.info(). */
  info(): ServerSummary {
    return summaryOf(this.stats(), this.#sources.options, this.adminAddresses);
  }

  /** See Server.readiness(). */
  readiness(): Readiness {
    const { parts } = this.#sources;
    const slots = parts.manager?.registry.slots ?? [];
    const notServing = slots
      .filter((slot) => slot.state !== 'serving')
      .map(({ slot, state }) => ({ slot, state }));
    const isDraining = parts.isClosing;
    // Every worker serves every address, so their capacities are the same.
    const isHalf = slots.length > 0 && notServing.length * 2 <= slots.length;
    const isLogReady = parts.messaging?.broker.log?.state.isReady ?? null;
    const isReady = isHalf && parts.phase === 'listening' && isLogReady !== false;
    return { isReady, isDraining, isLogReady, notServing };
  }

  /** See Server.health(). */
  health(): Health {
    const { manager, capacity, isClosing } = this.#sources.parts;
    return {
      connections: manager?.openConnections() ?? 0,
      maxConnections: capacity?.maxConnections ?? 0,
      slots: capacity?.workers ?? 0,
      notServing: this.readiness().notServing,
      isDraining: isClosing,
      periodsUnsupervised: manager?.periodsUnsupervised ?? 0,
      limitsHung: manager?.limitsHung ?? 0,
    };
  }
}
