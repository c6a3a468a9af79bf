// Clients that speak HTTP without TLS to a TLS server of Node. Node destroys such a connection, and
// the reset would overtake the answer, so they are found before Node begins the handshake.
import type { Server as TlsServer } from 'node:https';
import type { Socket } from 'node:net';

/** The first byte of a method; that of a handshake is 22 (RFC 8446 5.1). */
function isOfMethod(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x41 && byte <= 0x5a;
}

/**
 * Takes the connections whose first byte is that of an HTTP request. Node gets the others.
 *
 * @param accepts - Called for each new connection. False if it must not be read.
 */
export function takePlainHttp(
  server: TlsServer,
  accepts: (socket: Socket) => boolean,
  onPlain: (socket: Socket) => void,
): void {
  const handshake = server.listeners('connection') as ((socket: Socket) => void)[];
  server.removeAllListeners('connection');
  server.on('connection', (socket: Socket) => {
    if (!accepts(socket)) return;
    const onReadable = (): void => {
      const bytes = socket.read() as Buffer | null;
      // The end of a client that sent nothing.
      if (bytes === null) return;
      socket.off('readable', onReadable);
      if (isOfMethod(bytes[0])) {
        onPlain(socket);
        return;
      }
      socket.unshift(bytes);
      for (const listener of handshake) listener.call(server, socket);
    };
    // A client that resets it is counted when it is closed.
    socket.on('error', () => undefined);
    socket.on('readable', onReadable);
  });
}
