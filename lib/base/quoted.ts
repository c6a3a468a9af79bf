// Quotes texts of users for error messages.

/** Characters of a text that an error message repeats. */
const CHARACTERS_MAX = 40;

/** A user's text for an error message: in quotes, short, and without control characters. */
export function quoted(text: string): string {
  const start = text.length > CHARACTERS_MAX ? `${text.slice(0, CHARACTERS_MAX)}…` : text;
  // JSON does not escape DEL and the controls from U+0080 on, which a terminal may execute.
  return JSON.stringify(start).replace(/\p{Cc}/gu, '?');
}
