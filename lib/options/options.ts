// The names of an option, and how its value is parsed: the same rules and messages for the command
// line, the environment, the config file and the library.
import {
  formatServer,
  parseListenAddress,
  parseHost,
  parseHostName,
  parseNetwork,
  parsePeer,
} from '../base/address.js';
import { invalidUrl, invalidValue } from '../base/call-check.js';
import { LISTENERS_MAX } from '../base/native-constants.js';
import { parseOrigin } from '../base/origin.js';
import { isPem } from '../base/pem.js';
import { COUNT_MAX, type OptionSpec } from './option-spec.js';
import type { Namespaces } from './server-options.js';

export type OptionValue = boolean | number | string | readonly string[] | Namespaces;

/** Options by their camel-case keys. */
export type Settings = Record<string, OptionValue>;

/** A value of one word as text. */
export function wordOf(value: OptionValue): string {
  return typeof value === 'object' ? '' : String(value);
}

/** `max-connections` as `maxConnections`. */
export function keyOf(name: string): string {
  return name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/** `max-connections` as `MEGACOMET_MAX_CONNECTIONS`. */
export function environmentNameOf(name: string): string {
  return `MEGACOMET_${name.toUpperCase().replaceAll('-', '_')}`;
}

/** Number('') is 0, and Number('0x10') is 16: only plain decimal text is a number here. */
const DECIMAL = /^-?\d+(\.\d+)?$/;

function parseNumber(spec: OptionSpec, label: string, raw: unknown): number {
  const { min = 0, max = COUNT_MAX, word } = spec;
  const isText = typeof raw === 'string' && DECIMAL.test(raw);
  const value = typeof raw === 'number' ? raw : isText ? Number(raw) : NaN;
  const isRightKind = spec.kind === 'integer' ? Number.isInteger(value) : Number.isFinite(value);
  if (isRightKind && value >= min && value <= max) return value;
  const range = `between ${min} and ${max}${word === undefined ? '' : `, or ${word}`}`;
  if (isRightKind) throw invalidValue(label, value, range);
  const noun = spec.kind === 'integer' ? 'a whole number' : 'a number';
  throw invalidValue(label, raw, `${noun} ${range}`);
}

function parseFlag(label: string, raw: unknown): boolean {
  if (raw === true || raw === 'true' || raw === '1') return true;
  if (raw === false || raw === 'false' || raw === '0') return false;
  throw invalidValue(label, raw, 'true or false');
}

const FLAG_VALUES: readonly unknown[] = [true, false, 'true', 'false', '1', '0'];

/** Whether all listeners have something, or the addresses of those that have it. */
function parseListeners(label: string, raw: unknown): boolean | readonly string[] {
  if (FLAG_VALUES.includes(raw)) return parseFlag(label, raw);
  if (typeof raw !== 'string' && !Array.isArray(raw)) {
    throw invalidValue(label, raw, 'true, false or a list of addresses of --listen');
  }
  return parseList({ item: 'address' }, label, raw);
}

/** The items of a list of PEM files: bytes and texts are the contents themselves. */
function parsePem(label: string, raw: unknown): readonly string[] {
  const isContent = raw instanceof Uint8Array || isPem(raw);
  const list = isContent ? [raw] : typeof raw === 'string' ? raw.split(',') : raw;
  const items = Array.isArray(list) ? list.map(pemText) : [];
  // A value may be a private key, so the error does not show it.
  if (items.length === 0 || items.includes('')) {
    throw invalidValue(label, '…', 'a list of files, or of their contents as PEM');
  }
  return items;
}

function pemText(item: unknown): string {
  if (item instanceof Uint8Array) return Buffer.from(item).toString('latin1');
  return typeof item === 'string' && !item.includes('\0') ? item.trim() : '';
}

/** Items of a list: of one text they are separated by commas, and blanks around them do not count. */
function parseList(spec: Pick<OptionSpec, 'item'>, label: string, raw: unknown): readonly string[] {
  const list: unknown[] = typeof raw === 'string' ? raw.split(',') : Array.isArray(raw) ? raw : [];
  const items = list.map((item) => (typeof item === 'string' ? item.trim() : ''));
  if (items.length === 0 || items.some((item) => item === '' || item.includes('\0'))) {
    throw invalidValue(label, raw, 'a list of non-empty strings');
  }
  if (spec.item === 'origin') return items.map((item) => parseOrigin(label, item));
  if (spec.item === 'host name') return items.map((item) => parseHostName(label, item));
  if (spec.item === 'network') for (const item of items) parseNetwork(label, item);
  if (spec.item === 'address') for (const item of items) parseListenAddress(label, item);
  return items;
}

function parseText(spec: OptionSpec, label: string, raw: unknown): string {
  if (typeof raw === 'string' && raw !== '' && !raw.includes('\0')) return raw;
  const rule = 'a non-empty string without NUL';
  if (spec.isUrl === true) throw invalidUrl(label, raw, rule);
  throw invalidValue(label, spec.isSecret === true ? '…' : raw, rule);
}

/** Three octal digits, with or without a leading 0. A number would be read as a decimal one. */
function parseMode(label: string, raw: unknown): string {
  if (typeof raw === 'string' && /^0?[0-7]{3}$/.test(raw)) return raw.padStart(4, '0');
  throw invalidValue(label, raw, 'three octal digits in a string, such as "0660"');
}

/** A port as a number, or a range of ports as its text. */
function parsePorts(label: string, raw: unknown): number | string {
  const isText = typeof raw === 'string' || typeof raw === 'number';
  const [, first = '', last] = isText ? (/^(-?\d+)(?:-(\d+))?$/.exec(String(raw)) ?? []) : [];
  const low = first === '' ? NaN : Number(first);
  if (last === undefined) {
    if (low >= 0 && low <= 65_535) return low;
    if (!Number.isNaN(low)) throw invalidValue(label, low, 'between 0 and 65535');
    throw invalidValue(label, raw, 'a port or a range of ports between 0 and 65535');
  }
  const high = Number(last);
  const isRange = low > 0 && high >= low && high <= 65_535;
  if (isRange && high - low < LISTENERS_MAX) return `${low}-${high}`;
  throw invalidValue(label, raw, `a range of 1 to ${LISTENERS_MAX} ports between 1 and 65535`);
}

/** The ports that a value of kind `ports` names. */
export function portsOf(value: number | string): readonly number[] {
  const [first = 0, last = first] = String(value).split('-').map(Number);
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

/** Whether the command line has an option. */
export function hasFlag({ isSecret, isFileOnly }: OptionSpec): boolean {
  return isSecret !== true && isFileOnly !== true;
}

/** Whether the environment has an option. */
export function hasVariable({ hasNoVariable, isFileOnly }: OptionSpec): boolean {
  return hasNoVariable !== true && isFileOnly !== true;
}

/** Whether a value sets its option: an empty list has no item, as if the option were absent. */
export function isGiven({ kind }: OptionSpec, raw: unknown): boolean {
  const isList = kind === 'list' || kind === 'listeners';
  return !(isList && Array.isArray(raw) && raw.length === 0);
}

/**
 * Parses one value, from text or from JSON.
 *
 * @param label - The option as the user wrote it (`--port`, `MEGACOMET_PORT`, `port`).
 * @throws MegacometError `ERR_OPTION_INVALID`, with the option, the value and the rule.
 */
export function parseOption(spec: OptionSpec, label: string, raw: unknown): OptionValue {
  switch (spec.kind) {
    case 'flag':
      return parseFlag(label, raw);
    case 'list':
      return spec.item === 'pem' ? parsePem(label, raw) : parseList(spec, label, raw);
    case 'listeners':
      return parseListeners(label, raw);
    case 'integer':
    case 'seconds':
      if (spec.word !== undefined && raw === spec.word) return raw;
      return parseNumber(spec, label, raw);
    case 'ports':
      return parsePorts(label, raw);
    case 'address':
      return parseHost(label, raw);
    case 'peer':
      return formatServer(parsePeer(label, raw));
    case 'choice':
      if (typeof raw === 'string' && (spec.choices ?? []).includes(raw)) return raw;
      throw invalidValue(label, raw, `one of ${(spec.choices ?? []).join(', ')}`);
    case 'mode':
      return parseMode(label, raw);
    case 'namespaces':
      // namespaces.ts reads them, from the sources that can have them.
      throw invalidValue(label, raw, 'possible here; a config file and the library have it');
    case 'text':
      return parseText(spec, label, raw);
  }
}

/** What every help text says about an option: the protocol that uses it, its meaning, its minimum. */
export function helpOf({ protocol, help, atLeast }: OptionSpec): string {
  const lowered = help.replace(/^[A-Z](?=[a-z])/, (letter) => letter.toLowerCase());
  const meaning = protocol === undefined ? help : `Comet: ${lowered}`;
  return atLeast === undefined ? meaning : `${meaning} At least ${atLeast}.`;
}

/** The defaults of options by key; an option without a default is absent. */
export function defaultsOf(specs: readonly OptionSpec[]): Settings {
  const settings: Settings = {};
  for (const spec of specs) {
    if (spec.default !== undefined) settings[keyOf(spec.name)] = spec.default;
  }
  return settings;
}

/** Raises each value that another option's value is the minimum of. */
export function raiseToMinimums(specs: readonly OptionSpec[], settings: Settings): Settings {
  const raised = { ...settings };
  for (const { name, atLeast } of specs) {
    if (atLeast === undefined) continue;
    const [value, minimum] = [raised[keyOf(name)], raised[keyOf(atLeast)]];
    if (value !== undefined && minimum !== undefined && value < minimum) {
      raised[keyOf(name)] = minimum;
    }
  }
  return raised;
}
