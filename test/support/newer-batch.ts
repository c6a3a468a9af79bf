// Batches of a log as a newer version would write them.
import { jsonBody } from '../../lib/broker/log-json.js';
import { BatchWriter, RECORD_HEAD_BYTES, RecordKind } from '../../lib/broker/log-batch.js';

/** Of the flags in a batch, from its start: one byte of the version, four of the length, the kind. */
const FLAGS_AT = 1 + RECORD_HEAD_BYTES - 1;

/** A batch whose first record has a kind that this version does not know. */
export function newerBatch(kind: number, isNeeded: boolean, ...more: readonly object[]): Buffer {
  const writer = new BatchWriter();
  writer.add(kind, 4, (_target, offset) => offset + 4);
  // Announcements follow, which this version knows.
  for (const announcement of more) {
    const { bytesMax, write } = jsonBody({ ...announcement });
    writer.add(RecordKind.announce, bytesMax, write);
  }
  const batch = writer.take();
  batch[FLAGS_AT] = Number(isNeeded);
  return batch;
}

/** A tick of a node with another version, and with a field that this one does not know. */
export function newerTick(version: string): Buffer {
  const writer = new BatchWriter();
  const { bytesMax, write } = jsonBody({ version, connections: 3, region: 'north' });
  writer.add(RecordKind.tick, bytesMax, write);
  return writer.take();
}
