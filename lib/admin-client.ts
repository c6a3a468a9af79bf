// Asks a running server's admin server. Level 4.
import { get } from 'node:http';

import { MegacometError } from './errors.js';
import type { Stats } from './stats.js';

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

/**
 * The stats of the server whose admin server is at `HOST:PORT`.
 *
 * @throws MegacometError `ERR_UNREACHABLE`.
 */
export function fetchStats(admin: string): Promise<Stats> {
  return new Promise((resolve, reject) => {
    const fail = (reason: string): void => {
      reject(unreachable(admin, reason));
    };
    let url: URL;
    try {
      url = new URL(`http://${admin}/stats`);
    } catch {
      fail('not HOST:PORT');
      return;
    }
    const request = get(url, { timeout: TIMEOUT_MS, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
        if (text.length > ANSWER_BYTES_MAX) request.destroy(new Error('answer too long'));
      });
      response.on('end', () => {
        try {
          resolve(parseExact(text) as Stats);
        } catch {
          fail('the answer is no JSON');
        }
      });
    });
    request.on('timeout', () => request.destroy(new Error('no answer in time')));
    request.on('error', (error: NodeJS.ErrnoException) => {
      fail(error.code ?? error.message);
    });
  });
}
