// JSON whose integers keep all their digits: above 2^53 they are bigint. JSON.parse() would round
// them, and JSON.stringify() takes no bigint.

import { JsonWalker } from './json-walker.js';

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

/** Reads the values of a text that JSON.parse() has accepted. */
class ExactReader extends JsonWalker {
  value(): unknown {
    const first = this.peek();
    if (first === '"') return JSON.parse(this.#textOf('string'));
    if (first === '{') return Object.fromEntries(this.#items('}', () => this.#member()));
    if (first === '[') return this.#items(']', () => this.value());
    const token = this.#textOf('scalar');
    const value: unknown = JSON.parse(token);
    const isRounded = typeof value === 'number' && !Number.isSafeInteger(value);
    return isRounded && /^-?\d+$/.test(token) ? BigInt(token) : value;
  }

  /** The text of a string or scalar, as it was written. */
  #textOf(kind: 'scalar' | 'string'): string {
    this.peek();
    const start = this.at;
    this[kind]();
    return this.text.slice(start, this.at);
  }

  #member(): [string, unknown] {
    const name = JSON.parse(this.#textOf('string')) as string;
    this.step();
    return [name, this.value()];
  }

  #items<Item>(end: string, next: () => Item): Item[] {
    const items: Item[] = [];
    this.step();
    while (this.peek() !== end) {
      items.push(next());
      if (this.peek() === ',') this.step();
    }
    this.step();
    return items;
  }
}

/**
 * The value of a JSON text.
 *
 * @throws SyntaxError
 */
export function parseExactJson(text: string): unknown {
  JSON.parse(text);
  return new ExactReader(text).value();
}
