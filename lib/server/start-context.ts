// The context of the steps of a start: the server, and the program around it.
import type { AdminView } from '../api/admin.js';
import type { DeliveryTarget } from '../api/ingest-application.js';
import type { Logger } from '../base/logger.js';
import type { WorkerEvent } from '../manager/supervisor.js';
import type { WorkerMemory } from '../stats/stats.js';
import type { InheritedSocket } from '../systemd/systemd.js';
import type { MessagingEvents } from './messaging.js';
import type { Filled } from './server-options.js';
import type { FindLimits } from './start-warnings.js';

/** The program around a server: the command line, or a program that uses the library. */
export interface Host {
  /** Whether this process itself becomes `user` after binding. */
  readonly dropsOwnIdentity: boolean;
  /** Whether a comet server without an admin token generates one, in a file of this user. */
  readonly generatesToken: boolean;
  /** Sockets from systemd. If no option names an address, the server serves only them. */
  readonly sockets: readonly InheritedSocket[];
  readonly findLimits: FindLimits;
}

export interface StartContext {
  readonly options: Filled;
  /** Whether an option names an address. */
  readonly namesAddress: boolean;
  readonly host: Host;
  readonly log: Logger;
  /** Lines that follow the first line of the log. */
  readonly startLog: Logger;
  readonly memory: WorkerMemory;
  readonly view: AdminView;
  readonly events: MessagingEvents;
  readonly deliver: DeliveryTarget['deliver'];
  readonly onWorker: (event: WorkerEvent) => void;
  /** The broker exists. */
  readonly onMessaging: () => void;
  /** Milliseconds over which the workers close their connections. */
  readonly drainMs: () => number;
}
