// The client of a running server's admin server.
import { request } from 'node:http';
import { pipeline } from 'node:stream/promises';

import { MegacometError } from '../base/errors.js';
import type { Stats } from '../stats/stats.js';

const TIMEOUT_MS = 5000;
/** 512 workers take about 1 MB. */
const ANSWER_BYTES_MAX = 16 * 1024 * 1024;

function unreachable(admin: string, reason: string): MegacometError {
  return new MegacometError('ERR_UNREACHABLE', `no admin server answers at ${admin} (${reason})`);
}

/** Quotes integers that a double cannot hold, and reads them back as bigint. */
function parseExact(text: string): unknown {
  const quoted = text.replace(/([[:,])(\d{16,})(?=[,\]}])/g, '$1"\\u0000$2"');
  return JSON.parse(quoted, (_, value: unknown) =>
    typeof value === 'string' && value.startsWith('\0') ? BigInt(value.slice(1)) : value,
  );
}

export interface AdminRequest {
  /** `HOST:PORT`. */
  readonly admin: string;
  readonly path: string;
  readonly token?: string | null;
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

function urlOf({ admin, path }: AdminRequest): URL {
  try {
    return new URL(`http://${admin}${path}`);
  } catch {
    throw unreachable(admin, 'not HOST:PORT');
  }
}

/**
 * Sends one request.
 *
 * @throws MegacometError `ERR_UNREACHABLE`; also while the body is read, if the connection breaks.
 */
export function askAdmin(asked: AdminRequest): Promise<AdminAnswer> {
  const { admin, token = null, body } = asked;
  const url = urlOf(asked);
  return new Promise((resolve, reject) => {
    const fail = (error: NodeJS.ErrnoException): void => {
      reject(unreachable(admin, error.code ?? error.message));
    };
    const headers = {
      ...(token === null ? {} : { Authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'Content-Type': body.type }),
    };
    const method = body === undefined ? 'GET' : 'POST';
    const sent = request(
      url,
      { method, headers, timeout: TIMEOUT_MS, agent: false },
      (response) => {
        response.setEncoding('utf8');
        resolve({ status: response.statusCode ?? 0, body: chunksOf(admin, response) });
      },
    );
    sent.on('error', fail);
    if (body === undefined) {
      sent.on('timeout', () => sent.destroy(new Error('no answer in time')));
      sent.end();
      return;
    }
    // A batch has no time limit between two lines. An early rejection ends the sending.
    pipeline(body.chunks, sent).catch(fail);
  });
}

async function* chunksOf(admin: string, response: AsyncIterable<unknown>): AsyncIterable<string> {
  try {
    for await (const chunk of response) yield chunk as string;
  } catch (error) {
    throw unreachable(admin, (error as NodeJS.ErrnoException).code ?? 'the connection broke');
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

/**
 * The JSON answer of a path.
 *
 * @throws MegacometError `ERR_UNREACHABLE`, and `ERR_REJECTED` with the server's sentence.
 */
export async function askJson(asked: AdminRequest): Promise<unknown> {
  const { status, body } = await askAdmin(asked);
  const text = await textOf(asked.admin, body);
  let value: unknown;
  try {
    value = parseExact(text);
  } catch {
    throw unreachable(asked.admin, 'the answer is not valid JSON');
  }
  if (status >= 200 && status < 300) return value;
  const { error = `status ${status}` } = value as { error?: string };
  throw new MegacometError('ERR_REJECTED', `${asked.path.split('?')[0] ?? ''}: ${error}`);
}

/**
 * The stats of the server whose admin server is at `HOST:PORT`.
 *
 * @throws MegacometError `ERR_UNREACHABLE`.
 */
export async function fetchStats(admin: string): Promise<Stats> {
  return (await askJson({ admin, path: '/stats' })) as Stats;
}
