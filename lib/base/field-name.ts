// Names of header fields and cookies.

/** Whether a text is a token (RFC 9110 5.6.2), as names of fields and cookies are (RFC 6265 4.1.1). */
export function isToken(text: string): boolean {
  return /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(text);
}
