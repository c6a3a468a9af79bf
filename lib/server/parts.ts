// What the steps of a start open, and a running server has.
import type { Admin } from '../api/admin.js';
import type { Ingest } from '../api/ingest.js';
import { MegacometError } from '../base/errors.js';
import type { Broker } from '../broker/broker.js';
import type { Capacity } from '../capacity/capacity.js';
import type { ListeningAddress } from '../manager/listening-address.js';
import type { Manager } from '../manager/manager.js';
import type { Segment } from '../system/native.js';
import type { Messaging } from './messaging.js';

export function notRunning(): MegacometError {
  return new MegacometError('ERR_NOT_RUNNING', 'the server is not running');
}

export class Parts {
  readonly addresses: ListeningAddress[] = [];
  capacity: Capacity | undefined;
  messaging: Messaging | undefined;
  admin: Admin | undefined;
  adminPort: number | null = null;
  ingest: Ingest | undefined;
  ingestPort: number | null = null;
  segment: Segment | undefined;
  startedAtMs = 0;
  manager: Manager | undefined;
  /** Pids of workers that had to be killed. */
  killed: readonly number[] = [];

  /** The parts that every running server has. @throws MegacometError `ERR_NOT_RUNNING`. */
  running(): { readonly manager: Manager; readonly capacity: Capacity } {
    const { manager, capacity } = this;
    if (manager === undefined || capacity === undefined) throw notRunning();
    return { manager, capacity };
  }

  /** The broker of a running comet server. @throws MegacometError `ERR_NOT_RUNNING`. */
  broker(): Broker {
    this.running();
    if (this.messaging === undefined) throw notRunning();
    return this.messaging.broker;
  }
}
