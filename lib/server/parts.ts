// The parts that the steps of a start open, and that a running server has.
import type { Admin } from '../api/admin.js';
import type { Ingest } from '../api/ingest.js';
import type { Address } from '../base/address.js';
import { MegacometError } from '../base/errors.js';
import type { Broker } from '../broker/broker.js';
import type { Capacity } from '../capacity/capacity.js';
import type { ListeningAddress } from '../manager/listening-address.js';
import type { Manager } from '../manager/manager.js';
import type { Segment } from '../system/native.js';
import type { ClientKeys } from './client-keys.js';
import type { Messaging } from './messaging.js';
import type { ServerTls } from './server-tls.js';

/** The life of a server, which starts once. */
export type Phase = 'closed' | 'closing' | 'listening' | 'new' | 'starting';

const REASONS: Readonly<Record<Phase, string>> = {
  new: 'it has not started; call listen() first',
  starting: 'it is still starting; wait for listen()',
  listening: 'a part of it is missing',
  closing: 'it is closing',
  closed: 'it is closed',
};

/** The error for a call in the wrong phase, with the cause. */
export function notRunning(phase: Phase): MegacometError {
  const message = `the server is not running: ${REASONS[phase]}`;
  return new MegacometError('ERR_NOT_RUNNING', message);
}

export class Parts {
  phase: Phase = 'new';
  readonly #protocol: string;
  readonly addresses: ListeningAddress[] = [];
  capacity: Capacity | undefined;
  keys: ClientKeys | undefined;
  tls: ServerTls | undefined;
  messaging: Messaging | undefined;
  admin: Admin | undefined;
  adminAddresses: readonly Address[] = [];
  ingest: Ingest | undefined;
  ingestPort: number | null = null;
  segment: Segment | undefined;
  startedAtMs = 0;
  manager: Manager | undefined;
  /** Pids of workers that had to be killed. */
  killed: readonly number[] = [];

  constructor(protocol: string) {
    this.#protocol = protocol;
  }

  /** Port of the admin server; null without one, or if it has unix sockets only. */
  get adminPort(): number | null {
    return this.adminAddresses.find(({ isUnix }) => !isUnix)?.port ?? null;
  }

  /** Whether close() has begun. */
  get isClosing(): boolean {
    return this.phase === 'closing' || this.phase === 'closed';
  }

  /** The parts that every running server has. @throws MegacometError `ERR_NOT_RUNNING`. */
  running(): { readonly manager: Manager; readonly capacity: Capacity } {
    const { manager, capacity } = this;
    if (manager === undefined || capacity === undefined) throw notRunning(this.phase);
    return { manager, capacity };
  }

  /** The broker of a running comet server. @throws MegacometError `ERR_NOT_RUNNING`. */
  broker(): Broker {
    if (this.#protocol !== 'comet') {
      const message = `this server speaks ${this.#protocol}; give protocol: 'comet'`;
      throw new MegacometError('ERR_NOT_RUNNING', message);
    }
    this.running();
    if (this.messaging === undefined) throw notRunning(this.phase);
    return this.messaging.broker;
  }
}
