// Reads the answers of XREAD: the bytes that redis-scripts.ts writes.
import type { StreamItem } from './redis-sequence.js';

type Field = readonly Buffer[];
type Answer = readonly [key: Buffer, items: readonly [id: Buffer, fields: Field][]][];

const ENTRY = /^(\d{1,20}) (\d{1,15}) ([\w-]{1,64}) (\d{1,16})$/;
const SEAM = /^(\d{1,20}) (\d{1,20}) (\d{1,16}) (\d{1,16})$/;

function itemOf(seq: number, [name, value, , batch]: Field): StreamItem {
  const kind = name?.toString('latin1');
  const text = value?.toString('latin1') ?? '';
  if (kind === 's') {
    const [, epoch, from, last, known] = SEAM.exec(text) ?? [];
    if (epoch !== undefined && from !== undefined) {
      const positions = { last: Number(last), known: Number(known) };
      return { kind: 'seam', seq, epoch: BigInt(epoch), from: BigInt(from), ...positions };
    }
  }
  const [, epoch, at, node = '', count] = kind === 'h' ? (ENTRY.exec(text) ?? []) : [];
  if (epoch === undefined || batch === undefined) return { kind: 'stranger', seq };
  const id = { node, count: Number(count) };
  return { kind: 'entry', seq, epoch: BigInt(epoch), atMs: Number(at), id, batch };
}

/** The items of an answer of XREAD for one stream; null for none. */
export function itemsOf(answer: unknown): readonly StreamItem[] | null {
  if (answer === null) return null;
  const [stream] = answer as Answer;
  return (stream?.[1] ?? []).map(([id, fields]) =>
    itemOf(Number.parseInt(id.toString('latin1'), 10), fields),
  );
}
