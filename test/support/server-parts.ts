// The brokers and histories inside the servers of this process, for tests of events that only a log
// of several servers causes.
import { Broker } from '../../lib/broker/broker.js';
import { History } from '../../lib/broker/history.js';

/** The parts of the server that started last. */
export interface ServerParts {
  readonly broker: Broker;
  readonly history: History;
}

const found: Partial<{ -readonly [Name in keyof ServerParts]: ServerParts[Name] }> = {};

/** Calls `note` with the object whenever this method of its class is called. */
function observe<Of extends object>(prototype: Of, method: keyof Of, note: (of: Of) => void): void {
  const original = Reflect.get(prototype, method) as (this: Of) => void;
  Reflect.set(prototype, method, function observed(this: Of): void {
    note(this);
    original.call(this);
  });
}

observe(Broker.prototype, 'start', (broker) => {
  found.broker = broker;
});
observe(History.prototype, 'sweep', (history) => {
  found.history = history;
});

/** Of the server that started last. */
export function partsOfServer(): ServerParts {
  found.broker?.tick();
  const { broker, history } = found;
  if (broker === undefined || history === undefined) throw new Error('no server has started');
  return { broker, history };
}
