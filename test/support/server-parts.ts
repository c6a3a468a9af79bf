// The brokers and histories inside the servers of this process, for tests of events that only a log
// of several servers causes.
import { Broker } from '../../lib/broker/broker.js';
import { History } from '../../lib/broker/history.js';

/** The parts of the server that started last. */
export interface ServerParts {
  readonly broker: Broker;
  readonly history: History;
}

let broker: Broker | undefined;
let history: History | undefined;

const { start } = Broker.prototype;
Broker.prototype.start = function startNoted(this: Broker): void {
  broker = this;
  start.call(this);
};

const { sweep } = History.prototype;
History.prototype.sweep = function sweepNoted(this: History): void {
  history = this;
  sweep.call(this);
};

/** Of the server that started last. */
export function partsOfServer(): ServerParts {
  broker?.tick();
  if (broker === undefined || history === undefined) throw new Error('no server has started');
  return { broker, history };
}
