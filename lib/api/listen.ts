// Listening of the manager's own TCP servers: the admin server and the ingest.
import type { AddressInfo, Server } from 'node:net';

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
