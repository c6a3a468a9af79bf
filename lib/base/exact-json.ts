// JSON whose integers keep all their digits: above 2^53 they are bigint. JSON.parse() would round
// them, and JSON.stringify() takes no bigint.

/** JSON with every integer as plain digits, including those above 2^53. */
export function formatExactJson(value: unknown): string {
  if (typeof value === 'bigint') return String(value);
  if (value === undefined) return 'null';
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(formatExactJson).join(',')}]`;
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .map(([name, member]) => `${JSON.stringify(name)}:${formatExactJson(member)}`);
  return `{${members.join(',')}}`;
}

/** Parses a text that JSON.parse() has accepted: it needs to look at the first character only. */
class ExactParser {
  #at = 0;
  constructor(readonly text: string) {}

  value(): unknown {
    const first = this.#peek();
    if (first === '"') return this.#string();
    if (first === '{') return this.#object();
    if (first === '[') return this.#array();
    return this.#scalar();
  }

  #peek(): string {
    while (' \t\r\n'.includes(this.text.charAt(this.#at))) this.#at++;
    return this.text.charAt(this.#at);
  }

  #object(): Record<string, unknown> {
    const members: [string, unknown][] = [];
    this.#at++;
    while (this.#peek() !== '}') {
      const name = this.#string();
      this.#peek();
      this.#at++;
      members.push([name, this.value()]);
      if (this.#peek() === ',') this.#at++;
    }
    this.#at++;
    return Object.fromEntries(members);
  }

  #array(): unknown[] {
    const items: unknown[] = [];
    this.#at++;
    while (this.#peek() !== ']') {
      items.push(this.value());
      if (this.#peek() === ',') this.#at++;
    }
    this.#at++;
    return items;
  }

  #string(): string {
    this.#peek();
    const start = this.#at++;
    while (this.text.charAt(this.#at) !== '"') {
      this.#at += this.text.charAt(this.#at) === '\\' ? 2 : 1;
    }
    this.#at++;
    return JSON.parse(this.text.slice(start, this.#at)) as string;
  }

  #scalar(): unknown {
    const start = this.#at;
    while (this.#at < this.text.length && !',]} \t\r\n'.includes(this.text.charAt(this.#at))) {
      this.#at++;
    }
    const token = this.text.slice(start, this.#at);
    const value: unknown = JSON.parse(token);
    const isRounded = typeof value === 'number' && !Number.isSafeInteger(value);
    return isRounded && /^-?\d+$/.test(token) ? BigInt(token) : value;
  }
}

/**
 * The value of a JSON text.
 *
 * @throws SyntaxError
 */
export function parseExactJson(text: string): unknown {
  JSON.parse(text);
  return new ExactParser(text).value();
}
