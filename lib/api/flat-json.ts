// One JSON object whose members are read by name, with nested values as they were written.
// JSON.parse alone would round long numbers in what is only passed on, and take a second member of
// the same name for the first, where another reader may not.

/** What is wrong with the text, as the end of a sentence. */
export class FlatJsonError extends Error {
  override readonly name = 'FlatJsonError';
}

export interface FlatObject {
  /** Members by name, as JSON.parse has them. */
  readonly members: ReadonlyMap<string, unknown>;
  /** The text of a member's value, as it was written. */
  readonly raw: (name: string) => string;
}

/** Brackets open at once: what is passed on may be read by a recursive reader. */
const DEPTH_MAX = 32;

/** Walks over a text that is known to be JSON. */
class Walker {
  #at = 0;
  constructor(readonly text: string) {}

  get at(): number {
    return this.#at;
  }

  /** The character here, after blanks. */
  peek(): string {
    while (/[ \t\r\n]/.test(this.text.charAt(this.#at))) this.#at++;
    return this.text.charAt(this.#at);
  }

  /** Steps over the character here. */
  step(): void {
    this.peek();
    this.#at++;
  }

  string(): void {
    for (;;) {
      this.#at = this.text.indexOf('"', this.#at + 1);
      let escapes = 0;
      while (this.text.charAt(this.#at - 1 - escapes) === '\\') escapes++;
      if (escapes % 2 === 0) break;
    }
    this.#at++;
  }

  value(): void {
    const sign = this.peek();
    if (sign === '"') this.string();
    else if (sign === '{' || sign === '[') this.#nested();
    else while (!/[,\]} \t\r\n]|^$/.test(this.text.charAt(this.#at))) this.#at++;
  }

  #nested(): void {
    let depth = 0;
    do {
      const sign = this.text.charAt(this.#at);
      if (sign === '"') {
        this.string();
        continue;
      }
      if (sign === '{' || sign === '[') depth++;
      if (sign === '}' || sign === ']') depth--;
      if (depth > DEPTH_MAX) throw new FlatJsonError(`nested more than ${DEPTH_MAX} deep`);
      this.#at++;
    } while (depth > 0);
  }
}

/** @throws FlatJsonError */
export function readFlatJson(text: string): FlatObject {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new FlatJsonError('not JSON');
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw new FlatJsonError('not a JSON object');
  }
  const members = new Map<string, unknown>();
  const places = new Map<string, readonly [start: number, end: number]>();
  const walker = new Walker(text);
  walker.step();
  while (walker.peek() === '"') {
    const nameAt = walker.at;
    walker.string();
    const name = JSON.parse(text.slice(nameAt, walker.at)) as string;
    if (members.has(name)) throw new FlatJsonError('an object with two members of the same name');
    walker.step();
    walker.peek();
    const start = walker.at;
    walker.value();
    members.set(name, (parsed as Record<string, unknown>)[name]);
    places.set(name, [start, walker.at]);
    if (walker.peek() === ',') walker.step();
    walker.peek();
  }
  return { members, raw: (name) => text.slice(...(places.get(name) ?? [0, 0])) };
}
