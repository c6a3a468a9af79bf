// The check of cluster tests finds an engine that drops one entry in a thousand, repeats one, or
// exchanges two.
import t, { type Test } from 'tap';

import { cursorStart } from '../../lib/broker/cursor.js';
import type { LogEntry, LogReader } from '../../lib/log/log.js';
import { EngineOrder, faultOf } from '../support/cluster.js';
import type { Seen } from '../support/comet-world.js';
import { wants } from '../support/fakes/broker.js';
import { startNode } from '../support/fakes/log-nodes.js';
import { MemoryLog, MemoryStore } from '../support/memory-log.js';

type Change = (entries: readonly LogEntry[]) => readonly LogEntry[];

/** A log that delivers something else than it has. */
class WrongLog extends MemoryLog {
  constructor(
    store: MemoryStore,
    private readonly change: Change,
  ) {
    super(store);
  }

  override read(after: number, reader: LogReader): void {
    super.read(after, {
      onEntries: (entries) => {
        reader.onEntries(this.change(entries));
      },
      onBreak: (broken) => {
        reader.onBreak(broken);
      },
    });
  }
}

/** Publishes at a node with a good log; returns the fault that a client of the other node shows. */
async function faultWith(t: Test, change: Change): Promise<string | null> {
  const store = new MemoryStore();
  const order = await EngineOrder.follow(new MemoryLog(store));
  const publisher = await startNode(t, store, 'a', { isShared: false });
  const log = new WrongLog(store, change);
  const { broker, port } = await startNode(t, store, 'b', { isShared: false, log });
  wants(broker, 0, 'room');
  for (let count = 0; count < 2000; count++) await publisher.broker.publish('room', `m${count}`);
  await broker.close();
  const seen = port.take().flatMap((frame): Seen[] => {
    if (frame.name !== 'Publish') return [];
    const { number, data } = frame.fields;
    return [{ cursor: `${cursorStart(broker.epoch)}${number}`, data: data.toString() }];
  });
  return faultOf({ seen, notices: [] }, order.of('room'));
}

t.test('a log that delivers its entries passes', async (t) => {
  t.equal(await faultWith(t, (entries) => entries), null);
});

t.test('a log that drops one entry in a thousand fails', async (t) => {
  const fault = await faultWith(t, (entries) => entries.filter(({ seq }) => seq % 1000 !== 500));
  t.match(fault, /^m499 was missed before m500$/);
});

t.test('a log that repeats an entry fails', async (t) => {
  const fault = await faultWith(t, (entries) =>
    entries.flatMap((entry) => (entry.seq === 700 ? [entry, entry] : [entry])),
  );
  t.match(fault, /^m699 .* is repeated, out of order, or unknown$/);
});

t.test('a log that drops its last entry fails', async (t) => {
  const fault = await faultWith(t, (entries) => entries.filter(({ seq }) => seq !== 2000));
  t.equal(fault, 'm1999 was never received');
});
