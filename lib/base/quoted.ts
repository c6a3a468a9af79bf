// Texts of users in error messages.

/** Characters of a text that are repeated. */
const CHARACTERS_MAX = 40;

/** A text of a user as an error message may repeat it: in quotes, short, no control characters. */
export function quoted(text: string): string {
  const start = text.length > CHARACTERS_MAX ? `${text.slice(0, CHARACTERS_MAX)}…` : text;
  // JSON leaves DEL and those from U+0080 on as they are, and a terminal may obey them.
  return JSON.stringify(start).replace(/\p{Cc}/gu, '?');
}
