// Certificates that expire: the days left, and warnings about them.
import type { Clock, Timer } from '../base/clock.js';
import type { Logger } from '../base/logger.js';
import type { Certificate } from './certificates.js';

type Dated = Pick<Certificate, 'endsAtMs' | 'label'>;

const DAY_MS = 86_400_000;
/** A certificate is valid through its last second (RFC 5280 4.1.2.5). */
const SECOND_MS = 1000;
/** Certificates of 90 days are usually replaced 30 days before their end. */
const WARNING_DAYS = 14;

/** Whole days until each certificate expires, by its file; below 0 afterwards. */
export function daysLeft(
  certificates: readonly Dated[],
  nowMs: number,
): Readonly<Record<string, number>> {
  return Object.fromEntries(
    certificates.map(({ label, endsAtMs }) => [label, Math.floor((endsAtMs - nowMs) / DAY_MS)]),
  );
}

/** Writes one line for each certificate that expires soon, or has expired. */
export function warnOfDates(certificates: readonly Dated[], nowMs: number, log: Logger): void {
  for (const certificate of certificates) {
    const { label, endsAtMs } = certificate;
    const [days = 0] = Object.values(daysLeft([certificate], nowMs));
    const fields = { certificate: label, days, expires: new Date(endsAtMs).toISOString() };
    if (days < 0) {
      log.error(fields, 'a certificate has expired; replace its file and send SIGHUP');
    } else if (days < WARNING_DAYS) {
      log.warn(fields, 'a certificate expires soon; replace its file and send SIGHUP');
    }
  }
}

/** Warns while the server runs: once a day, and when a certificate expires. */
export class DateWatch {
  readonly #clock: Clock;
  readonly #wallMs: () => number;
  readonly #warn: () => void;
  #timer: Timer | undefined;

  constructor(clock: Clock, wallMs: () => number, warn: () => void) {
    this.#clock = clock;
    this.#wallMs = wallMs;
    this.#warn = warn;
  }

  /** Watches these certificates instead of others. */
  watch(certificates: readonly Dated[]): void {
    this.cancel();
    const nowMs = this.#wallMs();
    const ends = certificates
      .map(({ endsAtMs }) => endsAtMs + SECOND_MS - nowMs)
      .filter((ms) => ms > 0);
    this.#timer = this.#clock.after(Math.min(DAY_MS, ...ends), () => {
      this.#warn();
      this.watch(certificates);
    });
    this.#timer.unref();
  }

  cancel(): void {
    this.#timer?.cancel();
  }
}
