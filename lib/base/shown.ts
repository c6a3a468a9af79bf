// Shows any value of a program in an error message: short, on one line, and without calling code of
// the value.
import { inspect } from 'node:util';

/** Characters of a value that an error message repeats. */
const CHARACTERS_MAX = 200;

/** JSON for plain objects and arrays, which is how users write options; undefined for others. */
function asJson(value: object): string | undefined {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== Array.prototype) return undefined;
  try {
    return JSON.stringify(value);
  } catch {
    // A BigInt inside, a circle, or a getter that throws.
    return undefined;
  }
}

function asObject(value: object): string {
  return (
    asJson(value) ??
    inspect(value, { depth: 0, breakLength: Infinity, compact: true, customInspect: false })
  );
}

function textOf(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value);
    case 'bigint':
      return `${value}n`;
    case 'function':
      return 'a function';
    case 'object':
      return value === null ? 'null' : asObject(value);
    default:
      return String(value);
  }
}

/** A value for an error message: strings in quotes, other values as a program writes them. */
export function shown(value: unknown): string {
  // Neither JSON nor inspect() escapes DEL and the controls from U+0080 on.
  const text = textOf(value).replace(/\p{Cc}+/gu, ' ');
  return text.length > CHARACTERS_MAX ? `${text.slice(0, CHARACTERS_MAX)}…` : text;
}
