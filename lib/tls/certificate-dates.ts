// Certificates that expire: the days left, and warnings about them.
import type { Clock, Timer } from '../base/clock.js';
import type { Logger } from '../base/logger.js';
import type { Certificate } from './certificates.js';

type Dated = Pick<Certificate, 'endsAtMs' | 'label'>;

const DAY_MS = 86_400_000;
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

/** Warns once a day while the server runs. */
export function watchDates(clock: Clock, warn: () => void): Timer {
  const timer = clock.every(DAY_MS, warn);
  timer.unref();
  return timer;
}
