// One JSON object whose members are read by name, and whose values also exist as they were written.
// JSON.parse alone would round long numbers in data that is only passed on, and would accept a
// duplicate key, of which another reader may take the other value. So JSON.parse checks the text,
// and a walk that may trust it finds the keys and values.

import { JsonWalker } from './json-walker.js';

/** A fault of the text. The message goes on from a name of the text: `is not valid JSON`. */
export class FlatJsonError extends Error {
  override readonly name = 'FlatJsonError';

  /** @param detail - The position of the fault, for the author of the text. */
  constructor(
    message: string,
    readonly detail = '',
  ) {
    super(message);
  }
}

export interface FlatObject {
  /** Members by name, as JSON.parse returns them. */
  readonly members: ReadonlyMap<string, unknown>;
  /** The text of a member's value, as it was written. */
  readonly raw: (name: string) => string;
  /** The line of a member's name, from 1. */
  readonly line: (name: string) => number;
}

/** Open brackets: a recursive reader may read the data that is passed on. */
const DEPTH_MAX = 32;

/** Skips whole values too. */
class Walker extends JsonWalker {
  /** Skips a value. */
  value(): void {
    const sign = this.peek();
    if (sign === '"') this.string();
    else if (sign === '{' || sign === '[') this.#nested();
    else this.scalar();
  }

  #nested(): void {
    let depth = 0;
    do {
      const sign = this.character;
      if (sign === '"') {
        this.string();
        continue;
      }
      if (sign === '{' || sign === '[') depth++;
      if (sign === '}' || sign === ']') depth--;
      if (depth > DEPTH_MAX)
        throw new FlatJsonError(`is nested more than ${DEPTH_MAX} levels deep`);
      this.position++;
    } while (depth > 0);
  }
}

/**
 * @param firstLine - The line at which the text begins, for a text that is part of another one.
 * @throws FlatJsonError
 */
export function readFlatJson(text: string, firstLine = 1): FlatObject {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    // V8 quotes the text around the fault, which may hold a secret of another member.
    const reason = (error as Error).message.replace(/, "?\.{0,3}".*$/s, '');
    throw new FlatJsonError('is not valid JSON', ` (${reason})`);
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw new FlatJsonError('is not a JSON object');
  }
  const members = new Map<string, unknown>();
  const ranges = new Map<string, readonly [name: number, start: number, end: number]>();
  const lineAt = (at: number): number => firstLine + text.slice(0, at).split('\n').length - 1;
  const walker = new Walker(text);
  walker.step();
  while (walker.peek() === '"') {
    const nameAt = walker.at;
    walker.string();
    const name = JSON.parse(text.slice(nameAt, walker.at)) as string;
    if (members.has(name)) {
      const message = `has the duplicate key ${JSON.stringify(name)}`;
      throw new FlatJsonError(message, ` (line ${lineAt(nameAt)})`);
    }
    walker.step();
    walker.peek();
    const start = walker.at;
    walker.value();
    members.set(name, (parsed as Record<string, unknown>)[name]);
    ranges.set(name, [nameAt, start, walker.at]);
    if (walker.peek() === ',') walker.step();
    walker.peek();
  }
  const rangeOf = (name: string): readonly [number, number, number] =>
    ranges.get(name) ?? [0, 0, 0];
  return {
    members,
    raw: (name) => text.slice(rangeOf(name)[1], rangeOf(name)[2]),
    line: (name) => lineAt(rangeOf(name)[0]),
  };
}
