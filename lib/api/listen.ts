// Listening of the manager's own servers: the admin server and the ingest.
import type { AddressInfo, Server } from 'node:net';
import { getSystemErrorName } from 'node:util';

import { addon } from '../system/native.js';
import { atFreePath, type SocketFile } from '../system/socket-file.js';

/** Clients that a unix socket may queue. */
const BACKLOG = 511;

/**
 * Listens; resolves to the port.
 *
 * @param failure - The error for a failed bind; it should name the option to change.
 */
export function listen(
  server: Server,
  host: string,
  port: number,
  failure: (error: NodeJS.ErrnoException) => Error,
): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      reject(failure(error));
    });
    // Exclusive: in node:cluster the processes would share one socket otherwise.
    server.listen({ port, host, exclusive: true }, () => {
      // A server that listens on a host and port has an address with a port.
      resolve((server.address() as AddressInfo).port);
    });
  });
}

/**
 * Listens on a unix socket, whose file has its mode and group before a client can connect.
 *
 * @param failure - The error for a failed call, by its name and the code of the error.
 */
export async function listenOnPath(
  server: Server,
  path: string,
  file: SocketFile,
  failure: (call: string, code: string) => Error,
): Promise<void> {
  const opened = await atFreePath(path, () =>
    addon.openListener({
      ...{ host: path, port: 0, isUnix: true, v6Only: false, joins: false },
      ...{ ...file, backlog: BACKLOG, keepaliveS: 0, userTimeoutMs: 0 },
    }),
  );
  if (opened.error !== 0) throw failure(opened.call, getSystemErrorName(-opened.error));
  await new Promise<void>((resolve, reject) => {
    server.once('error', ({ code = '' }: NodeJS.ErrnoException) => {
      reject(failure('listen', code));
    });
    // The server closes the descriptor.
    server.listen({ fd: opened.fd, exclusive: true }, resolve);
  });
}
