// TLS of a run: the rules for the server's certificate, and the session to resume.
import { connect } from 'node:tls';

import { formatPeer, type Address } from '../base/address.js';
import { MegacometError } from '../base/errors.js';
import type { LoadFrames } from '../ipc/load-frames.js';

/** How connections begin with a TLS handshake. */
export interface TlsTarget {
  /** Certificates of the authorities as PEM; null for those of the system. */
  readonly authorities: Buffer | string | null;
  /** Whether the certificate of the server must be valid. */
  readonly verifies: boolean;
  /** The name of the server; null for the numeric address of each target, which is not sent. */
  readonly serverName: string | null;
  /** Whether all handshakes resume the session of one that comes before them. */
  readonly resumes: boolean;
}

const SESSION_DEADLINE_MS = 10_000;

/** Does a handshake and waits for its session ticket. @throws MegacometError `ERR_UNREACHABLE` */
function readSession({ host, port }: Address, tls: TlsTarget): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      ...{ host, port, minVersion: 'TLSv1.3', rejectUnauthorized: tls.verifies },
      ...(tls.authorities !== null && { ca: tls.authorities }),
      ...(tls.serverName !== null && { servername: tls.serverName }),
    });
    const fail = (reason: string): void => {
      socket.destroy();
      const address = formatPeer({ host, port });
      reject(new MegacometError('ERR_UNREACHABLE', `no TLS session of ${address}: ${reason}`));
    };
    socket.setTimeout(SESSION_DEADLINE_MS, () => {
      fail('the server sent no session ticket');
    });
    socket.once('session', (session) => {
      socket.destroy();
      resolve(session);
    });
    socket.once('error', (error: Error) => {
      fail(error.message);
    });
    socket.once('end', () => {
      fail('the server sent no session ticket');
    });
    // A ticket is read with the data.
    socket.resume();
  });
}

/** The order for the dialers. @throws MegacometError `ERR_UNREACHABLE` */
export async function tlsOrder(
  targets: readonly Address[],
  tls: TlsTarget,
): Promise<LoadFrames['DialTls']> {
  const [first] = targets;
  const needsSession = tls.resumes && first !== undefined;
  return {
    verifies: tls.verifies ? 1 : 0,
    sendsName: tls.serverName === null ? 0 : 1,
    hosts: targets.map(({ host }) => tls.serverName ?? host),
    authorities: Buffer.from(tls.authorities ?? ''),
    session: needsSession ? await readSession(first, tls) : Buffer.alloc(0),
  };
}
