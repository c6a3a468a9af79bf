// Checks the arguments of public calls: an argument may be of any type, and a mistake must be an
// error that names the argument, its value and the rule, before anything changes.
import { MegacometError, type ErrorCode } from './errors.js';
import { nearest } from './nearest.js';
import { shownUrl } from './shown-url.js';
import { shown } from './shown.js';

/** The sentence about a name that is not known, with the nearest known name. */
export function unknownName(noun: string, name: string, known: readonly string[]): string {
  const guess = nearest(name, known);
  return `unknown ${noun} ${name}${guess === undefined ? '' : ` (did you mean ${guess}?)`}`;
}

/**
 * The error for a name that no option has.
 *
 * @param source - Where the name was given, such as `createServer`.
 * @param known - The names that are known there, written as the user writes them.
 */
export function unknownOption(
  source: string,
  name: string,
  known: readonly string[],
): MegacometError {
  const message = `${source}: ${unknownName('option', name, known)}`;
  return new MegacometError('ERR_OPTION_UNKNOWN', message);
}

/** The error of an option: a sentence that begins with its name. */
export function invalidOption(message: string): MegacometError {
  return new MegacometError('ERR_OPTION_INVALID', message);
}

/** The error for a value that breaks the rule of its argument: `label: value is not rule`. */
export function invalidValue(
  label: string,
  value: unknown,
  rule: string,
  code: ErrorCode = 'ERR_OPTION_INVALID',
): MegacometError {
  return new MegacometError(code, `${label}: ${shown(value)} is not ${rule}`);
}

/** The same for a value that should be a URL, which may have secrets. */
export function invalidUrl(label: string, value: unknown, rule: string): MegacometError {
  return new MegacometError('ERR_OPTION_INVALID', `${label}: ${shownUrl(value)} is not ${rule}`);
}

/** Whether a value is an object with named members: not an array, Map, Date or function. */
function isOptions(value: unknown): value is Record<string, unknown> {
  return Object.prototype.toString.call(value) === '[object Object]';
}

/**
 * Visits the members of an options object that are not undefined. An absent object has none.
 *
 * @param code - The code of the error for a value that is not an object.
 * @throws MegacometError `ERR_OPTION_UNKNOWN` for a name that is not known.
 */
export function visitMembers(
  label: string,
  value: unknown,
  known: readonly string[],
  visit: (name: string, member: unknown) => void,
  code: ErrorCode = 'ERR_OPTION_INVALID',
): void {
  if (value === undefined) return;
  if (!isOptions(value)) throw invalidValue(label, value, 'an object with options', code);
  // With the members of prototypes: a program may derive its options from others.
  for (const name in value) {
    const member = value[name];
    if (member === undefined) continue;
    if (!known.includes(name)) throw unknownOption(label, name, known);
    visit(name, member);
  }
  const [symbol] = Object.getOwnPropertySymbols(value);
  if (symbol !== undefined) throw unknownOption(label, String(symbol), known);
}

/** The members of an options object that are not undefined; see {@link visitMembers}. */
export function membersOf(
  label: string,
  value: unknown,
  known: readonly string[],
): ReadonlyMap<string, unknown> {
  const members = new Map<string, unknown>();
  visitMembers(label, value, known, (name, member) => members.set(name, member));
  return members;
}

/** @throws MegacometError unless the value is a whole number from `min` to `max`. */
export function checkInteger(
  label: string,
  value: unknown,
  min: number,
  max: number,
  code: ErrorCode = 'ERR_OPTION_INVALID',
): asserts value is number {
  if (Number.isInteger(value) && (value as number) >= min && (value as number) <= max) return;
  throw invalidValue(label, value, `a whole number between ${min} and ${max}`, code);
}

/** Whether a value is a string of 1 to `bytesMax` bytes of UTF-8. */
export function isText(value: unknown, bytesMax: number): value is string {
  return typeof value === 'string' && value !== '' && Buffer.byteLength(value) <= bytesMax;
}

/** @throws MegacometError unless the value is a string of 1 to `bytesMax` bytes of UTF-8. */
export function checkText(
  label: string,
  value: unknown,
  bytesMax: number,
): asserts value is string {
  if (!isText(value, bytesMax))
    throw invalidValue(label, value, `a text of 1 to ${bytesMax} bytes`);
}

/** @throws MegacometError unless the value is a string. */
export function checkString(
  label: string,
  value: unknown,
  code: ErrorCode = 'ERR_OPTION_INVALID',
): asserts value is string {
  if (typeof value !== 'string') throw invalidValue(label, value, 'a string', code);
}
