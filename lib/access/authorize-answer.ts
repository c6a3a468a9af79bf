// Checks the answers of an application, and translates them into the frame for the worker.
import type { AuthorizeAction } from '../base/authorize.js';
import { isText, unknownName } from '../base/call-check.js';
import { isChannel } from '../base/channel-name.js';
import {
  CHANNEL_BYTES_MAX,
  GRANT_NAMES_MAX,
  TOKEN_INFO_BYTES_MAX,
  TOKEN_NAME_BYTES_MAX,
} from '../base/native-constants.js';
import { HookVerdict, type Frames } from '../ipc/frames.js';
import { HookFault } from './hook-fault.js';

/** A decision without the number of its hook request. */
export type Decision = Omit<Frames['HookAnswer'], 'request'>;

export interface CheckedAnswer {
  readonly decision: Decision;
  /** Seconds for which it counts for the same hook request. */
  readonly cacheSeconds: number;
}

/** The reason of a WebSocket's close frame has 123 bytes (RFC 6455 5.5.1). */
const REASON_BYTES_MAX = 120;
const CACHE_SECONDS_MAX = 86_400;
const EXPIRES_SECONDS_MAX = 31_622_400;

const GRANTS = ['subscribe', 'publish', 'presence', 'history'] as const;
const IDENTITY = ['user', 'grants', 'channels', 'info', 'expiresInSeconds'];

const REASONS: Readonly<Record<number, string>> = {
  401: 'credentials are required',
  403: 'not allowed',
};

function invalidAnswer(message: string): HookFault {
  return new HookFault('answer', `the answer is not valid: ${message}`);
}

const NOTHING: Decision = {
  verdict: HookVerdict.unavailable,
  status: 0,
  ...{ reason: '', user: '', expiresAtS: 0, info: '' },
  ...{ subscribe: [], publish: [], presence: [], history: [], channels: [] },
};

/** The frame for a client about which the application has not decided. */
export const UNDECIDED: Decision = NOTHING;

type Members = ReadonlyMap<string, unknown>;

/**
 * The members that are neither absent nor null: some languages write null for members that are not
 * set.
 */
function readMembers(label: string, value: unknown, known: readonly string[]): Members {
  const members = new Map<string, unknown>();
  if (value === undefined) return members;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalidAnswer(`${label} is not an object`);
  }
  for (const [name, member] of Object.entries(value)) {
    if (!known.includes(name)) throw invalidAnswer(unknownName('member', name, known));
    if (member !== undefined && member !== null) members.set(name, member);
  }
  return members;
}

function readNumber(members: Members, name: string, min: number, max: number): number | undefined {
  const value = members.get(name);
  if (value === undefined) return undefined;
  if (Number.isInteger(value) && (value as number) >= min && (value as number) <= max) {
    return value as number;
  }
  throw invalidAnswer(`${name} is not a whole number between ${min} and ${max}`);
}

function readText(members: Members, name: string, bytesMax: number): string | undefined {
  const value = members.get(name);
  if (value === undefined) return undefined;
  if (isText(value, bytesMax) && !/[\p{Cc}\p{Surrogate}]/u.test(value)) return value;
  throw invalidAnswer(`${name} is not a text of 1 to ${bytesMax} bytes without control characters`);
}

function readNames(
  label: string,
  value: unknown,
  isName: (name: string) => boolean,
): readonly string[] {
  if (value === undefined) return [];
  const isValid =
    Array.isArray(value) &&
    value.length <= GRANT_NAMES_MAX &&
    value.every((name) => isText(name, CHANNEL_BYTES_MAX) && isName(name));
  if (isValid) return value as string[];
  throw invalidAnswer(`${label} is not a list of at most ${GRANT_NAMES_MAX} names of channels`);
}

function readInfo(value: unknown): string {
  if (value === undefined) return '';
  const text = JSON.stringify(value) as string | undefined;
  if (text !== undefined && Buffer.byteLength(text) <= TOKEN_INFO_BYTES_MAX) return text;
  throw invalidAnswer(`info is not JSON of at most ${TOKEN_INFO_BYTES_MAX} bytes`);
}

function readIdentity(members: Members, nowS: number): Decision {
  const grants = readMembers('grants', members.get('grants'), GRANTS);
  const [subscribe, publish, presence, history] = GRANTS.map((action) =>
    readNames(
      `grants.${action}`,
      grants.get(action),
      (name) => !/[\p{Cc}\p{Surrogate}]/u.test(name),
    ),
  ) as [readonly string[], readonly string[], readonly string[], readonly string[]];
  const seconds = readNumber(members, 'expiresInSeconds', 1, EXPIRES_SECONDS_MAX);
  return {
    ...NOTHING,
    verdict: HookVerdict.allow,
    user: readText(members, 'user', TOKEN_NAME_BYTES_MAX) ?? '',
    expiresAtS: seconds === undefined ? 0 : nowS + seconds,
    ...{ subscribe, publish, presence, history },
    channels: readNames('channels', members.get('channels'), isChannel),
    info: readInfo(members.get('info')),
  };
}

function readDenial(value: unknown): CheckedAnswer {
  const members = readMembers('it', value, ['allow', 'status', 'reason', 'cacheSeconds']);
  const status = members.get('status') ?? 403;
  if (status !== 401 && status !== 403) throw invalidAnswer('status is not 401 or 403');
  const reason = readText(members, 'reason', REASON_BYTES_MAX) ?? REASONS[status] ?? '';
  const cacheSeconds = readNumber(members, 'cacheSeconds', 0, CACHE_SECONDS_MAX) ?? 0;
  return { decision: { ...NOTHING, verdict: HookVerdict.deny, status, reason }, cacheSeconds };
}

/**
 * Reads an answer, which may be any value.
 *
 * @param nowS - Seconds of the epoch, from which its expiry counts.
 * @throws HookFault
 */
export function readAnswer(action: AuthorizeAction, value: unknown, nowS: number): CheckedAnswer {
  const { allow } = (value ?? {}) as { readonly allow?: unknown };
  if (allow === false) return readDenial(value);
  if (allow !== true) throw invalidAnswer('allow is not true or false');
  const givesIdentity = action === 'connect' || action === 'refresh';
  const known = ['allow', 'cacheSeconds', ...(givesIdentity ? IDENTITY : [])];
  const members = readMembers('it', value, known);
  const cacheSeconds = readNumber(members, 'cacheSeconds', 0, CACHE_SECONDS_MAX) ?? 0;
  const expiresInSeconds = readNumber(members, 'expiresInSeconds', 1, EXPIRES_SECONDS_MAX);
  return {
    decision: readIdentity(members, nowS),
    // An expired answer must not count for the next client.
    cacheSeconds: Math.min(cacheSeconds, expiresInSeconds ?? cacheSeconds),
  };
}
