// Reads test/vectors/channel-names.txt.
import { readFileSync } from 'node:fs';

export type Verdict = 'channel' | 'neither' | 'pattern';

export interface ChannelVector {
  readonly line: number;
  readonly verdict: Verdict;
  readonly text: string;
}

const PATH = new URL('../vectors/channel-names.txt', import.meta.url);
const ROW = /^(channel|neither|pattern) +(\d+) +(".*")$/;

/** The text of a row: its first character several times, then the others. */
function repeated(count: number, text: string): string {
  const [first = '', ...others] = text;
  return first.repeat(count) + others.join('');
}

export function channelVectors(): ChannelVector[] {
  const lines = readFileSync(PATH, 'utf8').trimEnd().split('\n');
  return lines.flatMap((row, index) => {
    if (row === '' || row.startsWith('#')) return [];
    const [, verdict, count, json = ''] = ROW.exec(row) ?? [];
    if (verdict === undefined) throw new Error(`line ${index + 1} is not a vector: ${row}`);
    const text = repeated(Number(count), JSON.parse(json) as string);
    return [{ line: index + 1, verdict: verdict as Verdict, text }];
  });
}
