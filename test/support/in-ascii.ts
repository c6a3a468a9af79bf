/** The start of a text in ASCII: a line separator in a test's name would break the report. */
export function inAscii(text: string): string {
  return Buffer.from(text.slice(0, 20))
    .toString('latin1')
    .replace(/[^ -~]/g, '?');
}
