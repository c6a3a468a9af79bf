// Requests to the admin server of a test, over TCP or a unix socket, and files with tokens for it.
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { Test } from './helpers.js';

/** Options of a comet server with one worker. */
export const SMALL = [
  ...['--protocol', 'comet', '--host', '127.0.0.1', '--workers', '1', '--max-connections', '100'],
];

/** A folder that every user can enter, removed at the end. */
export function folderFor(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'megacomet-admin-'));
  chmodSync(folder, 0o755);
  t.teardown(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  return folder;
}

/** A file with a token. */
export function tokenFile(folder: string, name: string, token: string, mode = 0o600): string {
  const file = join(folder, name);
  writeFileSync(file, `${token}\n`);
  chmodSync(file, mode);
  return file;
}

export interface Ask {
  readonly token?: string | undefined;
  readonly headers?: Record<string, string>;
  readonly method?: string;
  readonly body?: string | undefined;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

/** Sends a request to a port or to the path of a unix socket. */
export function ask(
  at: number | string,
  path: string,
  { token, headers = {}, method = 'GET', body }: Ask = {},
): Promise<Answer> {
  const address = typeof at === 'string' ? { socketPath: at } : { host: '127.0.0.1', port: at };
  const fields = {
    ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }),
    ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
    ...headers,
  };
  return new Promise((resolve, reject) => {
    const sent = request(
      { ...address, path, method, headers: fields, agent: false },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part: string) => (text += part));
        response.on('end', () => {
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text });
        });
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}
