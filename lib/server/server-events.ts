// The events of a server, and whether anybody listens to those that cost something.
import type { EventEmitter } from 'node:events';

import type { ClientMessage } from '../broker/client-publishing.js';
import type { MemberEvent } from '../broker/presence.js';
import type { WorkerEvent } from '../manager/supervisor.js';

/** The events of a server, with the arguments of their listeners. */
export interface ServerEvents {
  /** A worker was started, serves, is late, is hung or has exited. */
  worker: [WorkerEvent];
  /** Comet: a client published over its WebSocket; see `clientPublish`. */
  message: [ClientMessage];
  /**
   * Comet: a connection subscribed to a channel or pattern. Emitted only while this event or
   * `unsubscribe` has a listener. When a worker dies, its subscribers end without `unsubscribe`:
   * see `worker`.
   */
  subscribe: [MemberEvent];
  /** Comet: a connection left a channel or pattern, or ended. Emitted as `subscribe` is. */
  unsubscribe: [MemberEvent];
}

type Emitter = EventEmitter<ServerEvents>;

/** Whether presence events have a listener. */
export function hasPresenceListener(server: Emitter): boolean {
  return server.listenerCount('subscribe') + server.listenerCount('unsubscribe') > 0;
}

const CHANGES = ['newListener', 'removeListener'] as const;

/** Calls a function at each change of the listeners. A second call with it changes nothing. */
export function watchListeners(server: Emitter, onChange: () => void): void {
  const emitter = server as unknown as EventEmitter;
  for (const name of CHANGES) {
    if (!emitter.listeners(name).includes(onChange)) emitter.on(name, onChange);
  }
  onChange();
}
