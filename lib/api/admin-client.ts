// The client of a running server's admin server.
import { request, type ClientRequest, type RequestOptions } from 'node:http';
import { request as requestWithTls } from 'node:https';
import { pipeline } from 'node:stream/promises';
import type { SecureContext } from 'node:tls';

import { parsePeer } from '../base/address.js';
import { MegacometError } from '../base/errors.js';
import { parseExactJson } from '../base/exact-json.js';
import { reasonOf } from '../base/reason.js';
import type { Stats } from '../stats/stats.js';

const TIMEOUT_MS = 5000;
/** 512 workers take about 1 MB. */
const ANSWER_BYTES_MAX = 16 * 1024 * 1024;

function unreachable(admin: string, reason: string): MegacometError {
  return new MegacometError('ERR_UNREACHABLE', `no admin server answers at ${admin} (${reason})`);
}

/** Which certificates of a server are accepted; without members those of known authorities. */
export interface Trust {
  /** With the authorities. */
  readonly secureContext?: SecureContext;
  readonly rejectUnauthorized?: false;
}

export interface AdminRequest {
  /** `HOST:PORT`, `https://HOST:PORT` or `unix:PATH`. */
  readonly admin: string;
  readonly path: string;
  readonly token?: string | null;
  readonly trust?: Trust;
  /** The body of a POST; without it the request is a GET. */
  readonly body?: {
    readonly type: string;
    readonly chunks: Iterable<string> | AsyncIterable<string>;
  };
}

/** The response of an admin server: its status, and its body as it arrives. */
export interface AdminAnswer {
  readonly status: number;
  readonly body: AsyncIterable<string>;
}

/** The address of a request. A text such as 9001 would be read as the host 0.0.35.41. */
function addressOf({ admin, path, trust }: AdminRequest): {
  readonly target: RequestOptions;
  readonly send: typeof request;
} {
  const { isUnix, host, port, isTls = false } = parsePeer('admin', admin);
  // The Host of a unix socket is localhost, as in curl.
  if (isUnix) return { target: { socketPath: pathOf(host), path }, send: request };
  if (!isTls) return { target: { host, port, path }, send: request };
  return { target: { host, port, path, ...trust }, send: requestWithTls };
}

/** A path as the kernel takes it: a name after `@` is abstract (unix(7)). */
function pathOf(path: string): string {
  return path.startsWith('@') ? `\0${path.slice(1)}` : path;
}

/** Sends a body; the time limit then counts from its last byte. */
async function sendBody(
  chunks: NonNullable<AdminRequest['body']>['chunks'],
  sent: ClientRequest,
  onSent: () => void,
): Promise<void> {
  await pipeline(chunks, sent);
  onSent();
}

/**
 * Sends one request. It fails if nothing is received or sent for five seconds, except between two
 * chunks of a body.
 *
 * @throws MegacometError `ERR_UNREACHABLE`; also while the body is read, if the connection breaks.
 */
export function askAdmin(asked: AdminRequest): Promise<AdminAnswer> {
  const { admin, token = null, body } = asked;
  const { target, send } = addressOf(asked);
  return new Promise((resolve, reject) => {
    let isSent = body === undefined;
    let isConnected = false;
    let cause: unknown;
    const fail = (error: unknown): void => {
      cause ??= error;
      reject(unreachable(admin, reasonOf(cause)));
    };
    const headers = {
      ...(token === null ? {} : { Authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'Content-Type': body.type }),
    };
    const method = body === undefined ? 'GET' : 'POST';
    const sent = send(
      { ...target, method, headers, timeout: TIMEOUT_MS, agent: false },
      (response) => {
        response.setEncoding('utf8');
        const chunks = chunksOf(admin, response, () => cause);
        resolve({ status: response.statusCode ?? 0, body: chunks });
      },
    );
    sent.on('error', fail);
    sent.on('socket', (socket) => socket.once('connect', () => (isConnected = true)));
    sent.on('timeout', () => {
      // A batch has no time limit between two lines.
      if (isConnected && !isSent) return;
      cause = Object.assign(new Error('no answer in time'), { code: 'ETIMEDOUT' });
      sent.destroy(cause as Error);
    });
    if (body === undefined) sent.end();
    // An early rejection ends the sending.
    else sendBody(body.chunks, sent, () => (isSent = true)).catch(fail);
  });
}

async function* chunksOf(
  admin: string,
  response: AsyncIterable<unknown>,
  cause: () => unknown,
): AsyncIterable<string> {
  try {
    for await (const chunk of response) yield chunk as string;
  } catch (error) {
    throw unreachable(admin, reasonOf(cause() ?? error));
  }
}

/** A whole body, of a bounded length. @throws MegacometError `ERR_UNREACHABLE`. */
export async function textOf(admin: string, body: AsyncIterable<string>): Promise<string> {
  let text = '';
  for await (const chunk of body) {
    text += chunk;
    if (text.length > ANSWER_BYTES_MAX) throw unreachable(admin, 'answer too long');
  }
  return text;
}

function isComet(path: string): boolean {
  return /^\/(publish|kick|channels|presence)\b/.test(path);
}

/**
 * Why the server that rejected a request cannot handle it, or null if it is an admin server with
 * that path: the public port and another protocol are common mistakes.
 */
async function mistakeOf(asked: AdminRequest): Promise<string | null> {
  const { admin, path, token = null, trust = {} } = asked;
  const found = await askAdmin({ admin, path: '/stats', token, trust });
  const text = await textOf(admin, found.body);
  // Such as the answer to plain HTTP at a port with TLS.
  if (found.status === 400 && errorIn(text) !== null) return null;
  const stats = found.status === 200 && text.startsWith('{') ? (JSON.parse(text) as Stats) : null;
  if (stats?.protocol === undefined) {
    return `${admin} is not an admin server; is it the public port? The admin port is 9001 by default`;
  }
  if (stats.protocol === 'comet' || !isComet(path)) return null;
  return `this server speaks ${stats.protocol}; messages need serve --protocol comet`;
}

/** Statuses of a path that a server does not have. */
const UNKNOWN_PATH = new Set([400, 404, 405, 411, 413, 426, 501]);

/** The error for an answer that is not a success. */
export async function rejection(
  asked: AdminRequest,
  status: number,
  text: string,
): Promise<MegacometError> {
  const mistake = UNKNOWN_PATH.has(status) ? await mistakeOf(asked).catch(() => null) : null;
  if (mistake !== null) return new MegacometError('ERR_REJECTED', mistake);
  const path = asked.path.split('?')[0] ?? '';
  return new MegacometError('ERR_REJECTED', `${path}: ${errorIn(text) ?? `status ${status}`}`);
}

/** The sentence of an answer that rejects a request, if it has one. */
export function errorIn(text: string): string | null {
  try {
    const { error } = JSON.parse(text) as { error?: unknown };
    return typeof error === 'string' ? error : null;
  } catch {
    return null;
  }
}

/**
 * The JSON answer of a path.
 *
 * @throws MegacometError `ERR_UNREACHABLE`, and `ERR_REJECTED` with the server's sentence.
 */
export async function askJson(asked: AdminRequest): Promise<unknown> {
  const { status, body } = await askAdmin(asked);
  const text = await textOf(asked.admin, body);
  if (status < 200 || status >= 300) throw await rejection(asked, status, text);
  try {
    return parseExactJson(text);
  } catch {
    throw unreachable(asked.admin, 'the answer is not valid JSON');
  }
}

/**
 * The stats of the server whose admin server is at an address.
 *
 * @throws MegacometError `ERR_UNREACHABLE`, `ERR_REJECTED`.
 */
export async function fetchStats(
  admin: string,
  token: string | null = null,
  trust: Trust = {},
): Promise<Stats> {
  return (await askJson({ admin, path: '/stats', token, trust })) as Stats;
}
