// The records of mailboxes in a log.
import type { BodyReader } from '../ipc/frame-codec.js';
import { blobBytesMax, textBytesMax, writeBlob, writeText, writeU8 } from '../ipc/frame-codec.js';
import type { Body } from './log-json.js';

const NUMBER_BYTES = 8;
/** Before a text, and before bytes. */
const TEXT_LENGTH_BYTES = 2;
const BLOB_LENGTH_BYTES = 4;

/** A message for a mailbox; the number of the record is that of the message. */
export interface DeliverRecord {
  readonly id: string;
  /** Milliseconds that it waits for its client. */
  readonly timeMs: number;
  readonly data: Uint8Array | string;
}

/** A message of a mailbox: that a node claims, or that a client has received. */
export interface MailboxMessageRecord {
  readonly id: string;
  readonly number: number;
}

/** The leases that end without an ack. */
export type ReturnedLeases =
  /** One; it has the number of the record that claimed it. */
  | { readonly which: 'one'; readonly number: number }
  /** Those of the node that wrote the record: it leaves. */
  | { readonly which: 'own' }
  /** Those of other nodes: the only server of this log has started again. */
  | { readonly which: 'others' };

const WHICH = ['one', 'own', 'others'] as const;

function messageBytesMax(id: string): number {
  return NUMBER_BYTES + TEXT_LENGTH_BYTES + textBytesMax(id);
}

export function deliverBody({ id, timeMs, data }: DeliverRecord): Body {
  return {
    bytesMax: messageBytesMax(id) + BLOB_LENGTH_BYTES + blobBytesMax(data),
    write: (target, at) =>
      writeBlob(target, writeText(target, target.writeDoubleLE(timeMs, at), id), data),
  };
}

/** @throws RangeError for bytes that are too short. */
export function readDeliver(body: BodyReader): DeliverRecord {
  const timeMs = body.f64();
  const id = body.text();
  return { id, timeMs, data: body.blob() };
}

export function messageBody({ id, number }: MailboxMessageRecord): Body {
  return {
    bytesMax: messageBytesMax(id),
    write: (target, at) => writeText(target, target.writeDoubleLE(number, at), id),
  };
}

/** @throws RangeError for bytes that are too short. */
export function readMessage(body: BodyReader): MailboxMessageRecord {
  const number = body.f64();
  return { id: body.text(), number };
}

export function returnedBody(leases: ReturnedLeases): Body {
  return {
    bytesMax: 1 + NUMBER_BYTES,
    write: (target, at) => {
      const end = writeU8(target, at, WHICH.indexOf(leases.which));
      return target.writeDoubleLE(leases.which === 'one' ? leases.number : 0, end);
    },
  };
}

/** @throws RangeError for bytes of another form. */
export function readReturned(body: BodyReader): ReturnedLeases {
  const which = WHICH[body.u8()];
  const number = body.f64();
  if (which === undefined) throw new RangeError('returned leases of an unknown kind');
  return which === 'one' ? { which, number } : { which };
}
