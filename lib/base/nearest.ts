// The option that the user of a misspelled name probably meant.

/** Letters to insert, drop or change; two neighbours that are swapped count as one. */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swap = isSwap ? (before[j - 2] ?? 0) + 1 : Infinity;
      next.push(Math.min(change, swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    [before, row] = [row, next];
  }
  return row[b.length] ?? 0;
}

/** Letters from which the beginning of a name is taken for an abbreviation. */
const ABBREVIATION_MIN = 3;

/**
 * The candidate nearest to a misspelled name, or undefined if none is similar. One that begins with
 * the name is nearer than any other.
 */
export function nearest(name: string, candidates: readonly string[]): string | undefined {
  const longer = candidates.filter((candidate) => candidate.startsWith(name));
  if (name.length >= ABBREVIATION_MIN && longer.length === 1) return longer[0];
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(name.length / 2));
  for (const candidate of candidates) {
    const candidateDistance = distance(name.toLowerCase(), candidate.toLowerCase());
    if (candidateDistance < bestDistance) [best, bestDistance] = [candidate, candidateDistance];
  }
  return best;
}
