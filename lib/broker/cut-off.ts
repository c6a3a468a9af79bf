// A server that is cut off from the engine of its cluster, if `--engine-down` is close: after 15 s it
// closes its clients evenly and admits none, until it reads its own tick again. Clients then
// reconnect to another node, which has the messages.
import { gauge } from '../base/metric.js';
import { encodeFrame } from '../ipc/frame-codecs.js';
import type { WorkerLines } from '../ipc/outgoing.js';

/** Time without an own tick after which clients are closed: an engine that restarts needs less. */
export const CUT_OFF_MS = 15_000;
/** All clients of a server are closed over this time: others receive a million in it. */
const CLOSE_MS = 10_000;
/** Between two checks; after a longer pause this process did not run, and knows nothing. */
const PAUSE_MS_MAX = 1000;

export interface CutOffParts {
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
  /** Milliseconds since this server read its own last tick; null before the log is open. */
  readonly tickAgeMs: () => number | null;
  readonly lines: Pick<WorkerLines, 'send'>;
  readonly slots: () => readonly number[];
  readonly onChange: (isCutOff: boolean) => void;
}

export class CutOff {
  static readonly METRICS = {
    cutOff: gauge(
      'cut_off',
      '1 while --engine-down is close and this server is cut off from its engine: it closes its ' +
        'clients and admits none. Else 0.',
      ({ isOn }: CutOff) => (isOn ? 1 : 0),
    ),
  };

  readonly #parts: CutOffParts | null;
  #isOn = false;
  /** The last check, and the first one after the last pause of this process. */
  #checkedAtMs = -Infinity;
  #runsSinceMs = 0;

  /** @param parts - Null for a server that keeps its clients. */
  constructor(parts: CutOffParts | null) {
    this.#parts = parts;
  }

  /** Whether clients are closed and rejected now. */
  get isOn(): boolean {
    return this.#isOn;
  }

  /** Closes or admits clients, if that is due. Called a few times a second. */
  check(): void {
    if (this.#parts === null) return;
    const { now, tickAgeMs, onChange } = this.#parts;
    const nowMs = now();
    if (nowMs - this.#checkedAtMs > PAUSE_MS_MAX) this.#runsSinceMs = nowMs;
    this.#checkedAtMs = nowMs;
    const ageMs = Math.min(tickAgeMs() ?? 0, nowMs - this.#runsSinceMs);
    // Back with the first tick, whose entry has all messages before it.
    const isOn = this.#isOn ? (tickAgeMs() ?? 0) >= CUT_OFF_MS : ageMs >= CUT_OFF_MS;
    if (isOn === this.#isOn) return;
    this.#isOn = isOn;
    this.#parts.lines.send(this.#frame(), this.#parts.slots());
    onChange(isOn);
  }

  /** The frames for a worker that starts. */
  frames(): readonly Buffer[] {
    return this.#isOn ? [this.#frame()] : [];
  }

  #frame(): Buffer {
    return encodeFrame('CutOff', { isOn: this.#isOn ? 1 : 0, closeMs: CLOSE_MS });
  }
}
