// Text as one word of a shell command that a user can paste.

/** Quotes a text unless every character is harmless in a shell. */
export function shellWord(text: string): string {
  return /^[\w./:@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
