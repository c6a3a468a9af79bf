// The summary of a run: its proofs, or its failures.
import type { BenchResult, Fanout } from './bench-result.js';
import { formatCount, formatCounted, formatSeconds } from './measured-text.js';

/** One line: the number of connections and the time to open them. */
export function headline(result: BenchResult): string {
  const opened = formatCount(result.opened);
  const complete = result.opened === result.requested;
  const count = complete ? opened : `${opened} of ${formatCount(result.requested)}`;
  const noun = result.requested === 1 ? 'connection' : 'connections';
  return `${count} ${noun} in ${formatSeconds(result.ramp.seconds)}`;
}

/** The summary of a run. */
export interface Verdict {
  /** Whether every phase that ran has no failure. */
  isClean: boolean;
  /** One sentence with the proofs of the run, or with every failure. */
  text: string;
}

function counted(count: number, one: string, many = one): string[] {
  return count > 0 ? [formatCounted(count, one, many)] : [];
}

/** What went wrong in a run, a phrase each. */
function problemsOf(result: BenchResult): string[] {
  const { hold, verify, fanout, active, lost = 0, incomplete } = result;
  const wrong = verify?.wrong ?? 0;
  const unanswered = verify?.unanswered ?? 0;
  const exchanges = active?.failed ?? 0;
  // Each of these connections was closed, so it is counted in `lost` too.
  const counts = (hold?.lost ?? 0) + wrong + unanswered + exchanges;
  const isSilent = active?.messages === 0 && exchanges === 0;
  return [
    ...(incomplete === undefined ? [] : [`the run ended early (${incomplete})`]),
    ...counted(result.requested - result.opened, 'was not opened', 'were not opened'),
    ...counted(hold?.lost ?? 0, 'was lost while held', 'were lost while held'),
    ...counted(lost - counts, 'was lost', 'were lost'),
    ...counted(fanout?.gaps ?? 0, 'gap was reported', 'gaps were reported'),
    ...counted(wrong, 'answered wrongly'),
    ...counted(unanswered, 'did not answer'),
    ...(exchanges > 0 ? [exchangesFailed(exchanges, active?.connections ?? 0)] : []),
    ...(isSilent ? ['no message was exchanged'] : []),
  ];
}

function exchangesFailed(failed: number, all: number): string {
  if (failed === all)
    return all === 1 ? 'the exchange failed' : `all ${formatCount(all)} exchanges failed`;
  return `${formatCount(failed)} of ${formatCounted(all, 'exchange')} failed`;
}

/** Summarises a run. Claims nothing about a phase that did not run. */
export function verdict(result: BenchResult): Verdict {
  const { hold, verify, fanout } = result;
  const problems = problemsOf(result);
  if (problems.length > 0) return { isClean: false, text: `${sentence(problems)}.` };
  const proofs = ['Every connection opened'];
  if (hold !== undefined) proofs.push(`none was lost in ${formatSeconds(hold.seconds)}`);
  if (fanout !== undefined && fanout.broadcasts.length > 0)
    proofs.push(fanoutProof(result, fanout));
  if (verify !== undefined) {
    const isWhole = verify.asked === result.opened;
    const who = isWhole ? 'every one' : `each of the ${formatCount(verify.asked)} verified`;
    proofs.push(`${who} returned the byte that it was sent`);
  }
  return { isClean: true, text: `${sentence(proofs)}.` };
}

function fanoutProof({ opened }: BenchResult, { broadcasts }: Fanout): string {
  const fewest = Math.min(...broadcasts.map(({ reached }) => reached));
  const who = fewest === opened ? 'every one' : `at least ${formatCount(fewest)}`;
  const what = broadcasts.length === 1 ? 'the' : `each of ${formatCount(broadcasts.length)}`;
  return `${who} received ${what} ${broadcasts.length === 1 ? 'broadcast' : 'broadcasts'}`;
}

function sentence(parts: string[]): string {
  const last = parts.at(-1) ?? '';
  return parts.length < 2 ? last : `${parts.slice(0, -1).join(', ')} and ${last}`;
}
