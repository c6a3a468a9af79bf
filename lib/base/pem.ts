// Values that are a file, or its content as PEM (RFC 7468).

/** Whether a value is the content itself. */
export function isPem(value: unknown): value is string {
  return typeof value === 'string' && value.includes('-----BEGIN ');
}
