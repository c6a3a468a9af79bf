// The workers whose interest does not fit into the interest table: they get every message. When the
// table has room again, each of them, one after the other, reports its interest again, and loses
// this state if all of it fits.

/** Shortest time between two reports of one worker: a report of a million channels takes seconds. */
const RETRY_MS = 5000;

interface Member {
  /** The number of the report that was requested; 0 without one. */
  request: number;
  /** Whether something did not fit after the report was requested. */
  hasExcess: boolean;
  nextAtMs: number;
}

export class CatchAll {
  readonly #members = new Map<number, Member>();
  #requests = 0;

  get size(): number {
    return this.#members.size;
  }

  slots(): Iterable<number> {
    return this.#members.keys();
  }

  /** Some interest of a worker did not fit. */
  add(slot: number): void {
    const member = this.#members.get(slot);
    if (member === undefined) {
      this.#members.set(slot, { request: 0, hasExcess: true, nextAtMs: 0 });
    } else {
      member.hasExcess = true;
    }
  }

  delete(slot: number): void {
    this.#members.delete(slot);
  }

  /**
   * The report to request now; null without one. Only one worker reports at a time, so that the
   * reports of many do not delay the manager.
   */
  nextReport(nowMs: number): { readonly slot: number; readonly request: number } | null {
    const members = [...this.#members];
    if (members.some(([, { request }]) => request !== 0)) return null;
    const due = members.find(([, { nextAtMs }]) => nextAtMs <= nowMs);
    if (due === undefined) return null;
    const [slot, member] = due;
    member.request = ++this.#requests;
    member.hasExcess = false;
    member.nextAtMs = nowMs + RETRY_MS;
    // The others come first the next time.
    this.#members.delete(slot);
    this.#members.set(slot, member);
    return { slot, request: member.request };
  }

  /** A worker has reported all of its interest. */
  reported(slot: number, request: number): void {
    const member = this.#members.get(slot);
    if (member?.request !== request) return;
    if (member.hasExcess) member.request = 0;
    else this.#members.delete(slot);
  }
}
