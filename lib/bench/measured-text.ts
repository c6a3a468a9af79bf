// Texts for the numbers of a run, with their units.

/** The text for a number that was not measured. */
export const NOT_MEASURED = 'not measured';

function grouped(value: number, digits: number): string {
  return value.toLocaleString('en-US', {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}

/** JSON writes Infinity as null, so any number of a result that was read from a file can be null. */
export function isMeasured(value: number | null): value is number {
  return value !== null && Number.isFinite(value);
}

/** Writes a count or a rate as a whole number: `1,000,000`. */
export function formatCount(value: number | null): string {
  return isMeasured(value) ? grouped(Math.round(value), 0) : NOT_MEASURED;
}

/** Writes a count with its noun: `1 worker`, `8 workers`, `2 addresses`. */
export function formatCounted(value: number, one: string, many = `${one}s`): string {
  return `${formatCount(value)} ${value === 1 ? one : many}`;
}

/** Writes a duration in seconds: `0.25 s`, `15.0 s`, `3,600 s`; a short one in ms: `4.21 ms`. */
export function formatSeconds(seconds: number | null): string {
  if (!isMeasured(seconds)) return NOT_MEASURED;
  if (seconds > 0 && seconds < 0.0995) return formatMicroseconds(seconds * 1e6);
  return `${grouped(seconds, seconds < 1 ? 2 : seconds < 1000 ? 1 : 0)} s`;
}

/** Writes a latency with three digits, in µs, ms or s: `84.0 µs`, `4.21 ms`. */
export function formatMicroseconds(us: number | null): string {
  if (!isMeasured(us)) return NOT_MEASURED;
  // 999.5 and not 1000, because a value that rounds to 1000 belongs to the next unit.
  const unit = us < 999.5 ? 'µs' : us < 999_500 ? 'ms' : 's';
  const value = us / { µs: 1, ms: 1e3, s: 1e6 }[unit];
  const digits = value === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${grouped(value, digits)} ${unit}`;
}

/** Writes a size with three digits and a binary unit: `512 bytes`, `3.50 MiB`, `7.75 GiB`. */
export function formatBytes(bytes: number | null): string {
  if (!isMeasured(bytes)) return NOT_MEASURED;
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let step = 0;
  while (Math.abs(value) >= 1023.5 && step < units.length - 1) {
    value /= 1024;
    step += 1;
  }
  const digits = step === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${grouped(value, digits)} ${units[step] ?? ''}`;
}

/** Writes a cost per connection, always in bytes: `2,312 bytes`. */
export function formatCost(bytes: number | null): string {
  return isMeasured(bytes) ? `${grouped(Math.round(bytes), 0)} bytes` : NOT_MEASURED;
}

/** Writes a time to the second, in UTC. Returns a text that is not a time unchanged. */
export function formatMoment(iso: string): string {
  const time = Date.parse(iso);
  if (Number.isNaN(time)) return iso;
  return new Date(time)
    .toISOString()
    .replace('T', ' ')
    .replace(/\.\d+Z$/, ' UTC');
}
