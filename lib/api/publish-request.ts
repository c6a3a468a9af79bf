// One publish as JSON, from a body or a line of a batch, as the arguments of Broker.publish().
import type { HistoryLimits } from '../broker/history-limits.js';
import { SLOW_POLICIES, type SlowPolicy } from '../broker/slow-policy.js';
import { FlatJsonError, readFlatJson, type FlatObject } from '../base/flat-json.js';
import type { PublishOptions } from '../broker/publishing.js';

export interface PublishRequest {
  readonly channel: string;
  readonly data: Buffer | string;
  readonly options: PublishOptions;
}

/** A fault of a request, in one sentence. */
export class RequestFault extends Error {
  override readonly name = 'RequestFault';
}

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

type Reader = (value: unknown, name: string) => unknown;

function text(value: unknown, name: string): string {
  if (typeof value === 'string') return value;
  throw new RequestFault(`"${name}" must be a string`);
}

function number(value: unknown, name: string): number {
  if (typeof value === 'number') return value;
  throw new RequestFault(`"${name}" must be a number`);
}

function policy(value: unknown): SlowPolicy {
  const known = SLOW_POLICIES.find((one) => one === value);
  if (known !== undefined) return known;
  throw new RequestFault(`"policy" must be one of ${SLOW_POLICIES.join(', ')}`);
}

function history(value: unknown): Partial<HistoryLimits> | false {
  if (value === false) return value;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new RequestFault('"history" must be false, or an object with count, bytes and ageMs');
  }
  const limits: Record<string, number> = {};
  for (const [name, limit] of Object.entries(value)) {
    if (name !== 'count' && name !== 'bytes' && name !== 'ageMs') {
      throw new RequestFault(`unknown key ${JSON.stringify(`history.${name}`)}`);
    }
    limits[name] = number(limit, `history.${name}`);
  }
  return limits;
}

const OPTIONS = new Map<string, Reader>([
  ['id', text],
  ['event', text],
  ['ttlMs', number],
  ['spreadMs', number],
  ['idempotencyKey', text],
  ['policy', policy],
  ['history', history],
]);
const OTHERS = new Set(['channel', 'data', 'base64']);

/** The data: a string as it is, any other value as its JSON text, or bytes in base64. */
function dataOf({ members, raw }: FlatObject): Buffer | string {
  if (members.has('data') === members.has('base64')) {
    throw new RequestFault('either "data" or "base64" is required');
  }
  if (members.has('data')) {
    const data = members.get('data');
    return typeof data === 'string' ? data : raw('data');
  }
  const encoded = text(members.get('base64'), 'base64');
  if (encoded.length % 4 !== 0 || !BASE64.test(encoded)) {
    throw new RequestFault('"base64" is not valid base64');
  }
  return Buffer.from(encoded, 'base64');
}

/** Reads a JSON object. @throws RequestFault */
function readObject(json: string): FlatObject {
  try {
    return readFlatJson(json);
  } catch (error) {
    if (error instanceof FlatJsonError) throw new RequestFault(`the request ${error.message}`);
    throw error;
  }
}

function channelOf({ members }: FlatObject): string {
  if (!members.has('channel')) throw new RequestFault('channel is required');
  return text(members.get('channel'), 'channel');
}

function checkNames({ members }: FlatObject, isKnown: (name: string) => boolean): void {
  for (const name of members.keys()) {
    if (!isKnown(name)) throw new RequestFault(`unknown key ${JSON.stringify(name)}`);
  }
}

/**
 * Reads one publish.
 *
 * @throws RequestFault. The broker checks whether channel, data and options are valid.
 */
export function readPublish(json: string): PublishRequest {
  const object = readObject(json);
  checkNames(object, (name) => OPTIONS.has(name) || OTHERS.has(name));
  const options: Record<string, unknown> = {};
  for (const [name, value] of object.members) {
    const read = OPTIONS.get(name);
    if (read !== undefined) options[name] = read(value, name);
  }
  return { channel: channelOf(object), data: dataOf(object), options };
}

/** The connections to close: the subscribers of a channel, those of a user, or all. */
export type KickTarget =
  { readonly channel: string } | { readonly user: string } | { readonly all: true };

export interface KickRequest {
  readonly target: KickTarget;
  readonly reason: string;
}

/** @throws RequestFault */
export function readKick(json: string): KickRequest {
  const object = readObject(json);
  const { members } = object;
  const targets = ['all', 'channel', 'user'];
  checkNames(object, (name) => name === 'reason' || targets.includes(name));
  const reason = text(members.get('reason') ?? '', 'reason');
  const [name, ...others] = targets.filter((one) => members.has(one));
  if (others.length === 0) {
    if (name === 'channel') return { target: { channel: channelOf(object) }, reason };
    if (name === 'user') return { target: { user: text(members.get(name), name) }, reason };
    if (members.get('all') === true) return { target: { all: true }, reason };
  }
  throw new RequestFault('either "channel", "user" or "all": true is required');
}

/** @throws RequestFault. The broker checks the values. */
export function readRevoke(json: string): Record<string, unknown> {
  const object = readObject(json);
  checkNames(object, (name) => ['user', 'id', 'beforeSeconds', 'keepSeconds'].includes(name));
  return Object.fromEntries(object.members);
}
