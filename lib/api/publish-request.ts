// Requests as JSON, from a body or a line of a batch, as the arguments of the broker's calls.
import type { DisconnectTarget } from '../broker/client-orders.js';
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
  ['count', text],
  ['history', history],
]);
const DATA = new Set(['data', 'base64']);

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
  checkNames(object, (name) => OPTIONS.has(name) || DATA.has(name) || name === 'channel');
  return { channel: channelOf(object), data: dataOf(object), options: optionsOf(object) };
}

function optionsOf({ members }: FlatObject): PublishOptions {
  const options: Record<string, unknown> = {};
  for (const [name, value] of members) {
    const read = OPTIONS.get(name);
    if (read !== undefined) options[name] = read(value, name);
  }
  return options;
}

/** One message for several channels. */
export interface BroadcastRequest extends Omit<PublishRequest, 'channel'> {
  readonly channels: readonly string[];
}

/** A list of strings. @throws RequestFault */
function textsOf({ members }: FlatObject, name: string): readonly string[] {
  const value = members.get(name);
  if (!Array.isArray(value)) throw new RequestFault(`"${name}" must be a list of strings`);
  return value.map((item) => text(item, name));
}

/** @throws RequestFault. The broker checks the channels, data and options. */
export function readBroadcast(json: string): BroadcastRequest {
  const object = readObject(json);
  checkNames(object, (name) => OPTIONS.has(name) || DATA.has(name) || name === 'channels');
  return {
    channels: textsOf(object, 'channels'),
    data: dataOf(object),
    options: optionsOf(object),
  };
}

/** @throws RequestFault. The broker checks user and channels. */
export function readUserChannels(json: string): {
  readonly user: string;
  readonly channels: readonly string[];
} {
  const object = readObject(json);
  checkNames(object, (name) => ['user', 'channel', 'channels'].includes(name));
  const { members } = object;
  if (members.has('channel') === members.has('channels')) {
    throw new RequestFault('either "channel" or "channels" is required');
  }
  const channels = members.has('channel') ? [channelOf(object)] : textsOf(object, 'channels');
  return { user: text(members.get('user'), 'user'), channels };
}

export interface DisconnectRequest {
  readonly target: DisconnectTarget;
  readonly reason: string;
}

const TARGETS = ['channel', 'user', 'member', 'all'];

/** @throws RequestFault. The broker checks the values. */
export function readDisconnect(json: string): DisconnectRequest {
  const object = readObject(json);
  const { members } = object;
  checkNames(object, (name) => name === 'reason' || TARGETS.includes(name));
  const reason = text(members.get('reason') ?? '', 'reason');
  const [name, ...others] = TARGETS.filter((one) => members.has(one));
  const isAll = name === 'all' && members.get('all') === true;
  if (name === undefined || others.length > 0 || (name === 'all' && !isAll)) {
    throw new RequestFault('either "channel", "user", "member" or "all": true is required');
  }
  if (isAll) return { target: { all: true }, reason };
  const value = text(members.get(name), name);
  return { target: { [name]: value } as unknown as DisconnectTarget, reason };
}

/** @throws RequestFault. The broker checks the values. */
export function readRevoke(json: string): Record<string, unknown> {
  const object = readObject(json);
  checkNames(object, (name) => ['user', 'id', 'beforeSeconds', 'keepSeconds'].includes(name));
  return Object.fromEntries(object.members);
}
