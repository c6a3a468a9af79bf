// The progress of a bench run, on standard error: one line that is redrawn on a terminal, else a
// plain line in a while.
import type { BenchPhase, BenchProgress } from '../bench/bench.js';
import { columnsOf, movesCursor, type OutputShape } from '../base/terminal.js';

const UNITS: Record<BenchPhase, readonly [one: string, many: string]> = {
  open: ['connection', 'connections'],
  hold: ['second', 'seconds'],
  verify: ['answer', 'answers'],
  exchange: ['second', 'seconds'],
};

/** Interval of the plain lines. */
const PLAIN_INTERVAL_MS = 5000;
const BAR_COLUMNS = 24;

interface Stream extends OutputShape {
  write(text: string): unknown;
}

function grouped(value: number): string {
  return Math.floor(value).toLocaleString('en-US');
}

/** Seconds left at the rate so far, or a dash if nothing is done. */
function secondsLeft({ phase, done, total }: BenchProgress, seconds: number): string {
  const isTime = phase === 'hold' || phase === 'exchange';
  const left = isTime ? total - done : done > 0 ? (seconds * (total - done)) / done : NaN;
  return Number.isFinite(left) ? Math.max(0, Math.ceil(left)).toLocaleString('en-US') : '-';
}

/**
 * The line of one progress report: the numbers first, so that a narrow terminal shows them.
 *
 * @param seconds - Since the phase began.
 */
export function formatProgress(progress: BenchProgress, seconds: number): string {
  const { phase, done, total, failed, perSecond } = progress;
  const whole = Math.ceil(total);
  const unit = UNITS[phase][whole === 1 ? 0 : 1];
  const rate = Number.isFinite(perSecond) ? grouped(Math.round(perSecond)) : '-';
  return (
    `${phase} ${grouped(done)}/${grouped(whole)} ${unit}, ` +
    `${secondsLeft(progress, seconds)} s left, ${rate}/s, ${grouped(failed)} failed`
  );
}

function barOf({ done, total }: BenchProgress): string {
  const share = total > 0 ? Math.min(1, Math.max(0, done / total)) : 0;
  const full = Math.round(share * BAR_COLUMNS);
  return '█'.repeat(full) + '░'.repeat(BAR_COLUMNS - full);
}

export class ProgressLine {
  readonly #stream: Stream;
  readonly #isLive: boolean;
  #phase: BenchPhase | undefined;
  #beganMs = 0;
  #printedMs = -Infinity;
  #last = '';

  constructor(stream: Stream, env: Readonly<Record<string, string | undefined>>) {
    this.#stream = stream;
    this.#isLive = movesCursor(stream, env);
  }

  readonly show = (progress: BenchProgress): void => {
    const nowMs = performance.now();
    if (progress.phase !== this.#phase) {
      this.stop();
      this.#phase = progress.phase;
      this.#beganMs = nowMs;
      this.#printedMs = -Infinity;
    }
    const line = formatProgress(progress, (nowMs - this.#beganMs) / 1000);
    if (this.#isLive) {
      const wide = columnsOf(this.#stream) - 1;
      const hasRoom = line.length + 1 + BAR_COLUMNS <= wide;
      this.#last = hasRoom ? `${line} ${barOf(progress)}` : line.slice(0, wide);
      this.#stream.write(`\r\u001b[K${this.#last}`);
      return;
    }
    this.#last = line;
    if (nowMs - this.#printedMs < PLAIN_INTERVAL_MS) return;
    this.#printedMs = nowMs;
    this.#print();
  };

  /** Ends the line of a phase, which then shows the phase's end. */
  stop(): void {
    if (this.#last === '') return;
    if (this.#isLive) this.#stream.write('\n');
    else this.#print();
    this.#last = '';
    this.#phase = undefined;
  }

  #print(): void {
    if (this.#last !== '') this.#stream.write(`${this.#last}\n`);
    this.#last = '';
  }
}
