// A relay between a client and a server of a test that holds bytes back, drops them, or cuts.
import { once } from 'node:events';
import {
  createConnection,
  createServer,
  type AddressInfo,
  type Server,
  type Socket,
} from 'node:net';

interface Ended {
  teardown(action: () => Promise<void> | void): void;
}

export class TcpRelay {
  /** Connections that were made. */
  connections = 0;
  readonly #server: Server;
  readonly #target: number;
  readonly #sockets = new Set<Socket>();
  #isHolding = false;
  #drops: ((bytes: Buffer) => boolean) | null = null;

  private constructor(target: number) {
    this.#target = target;
    this.#server = createServer((client) => {
      this.#relay(client);
    });
  }

  /** Relays a port of its own to a port of this machine until the test ends. */
  static async start(t: Ended, target: number): Promise<TcpRelay> {
    const relay = new TcpRelay(target);
    await once(relay.#server.listen(0, '127.0.0.1'), 'listening');
    t.teardown(async () => {
      relay.#server.close();
      relay.cut();
      await once(relay.#server, 'close');
    });
    return relay;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  #relay(client: Socket): void {
    this.connections += 1;
    const server = createConnection(this.#target, '127.0.0.1');
    for (const socket of [client, server]) {
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.#sockets.delete(socket);
        client.destroy();
        server.destroy();
      });
    }
    client.pipe(server);
    server.on('data', (bytes: Buffer) => {
      if (this.#drops?.(bytes) !== true) client.write(bytes);
    });
    if (this.#isHolding) server.pause();
  }

  /** Whether bytes of the server wait here, on present and new connections. */
  hold(isHolding: boolean): void {
    this.#isHolding = isHolding;
    for (const socket of this.#sockets) {
      if (socket.remotePort !== this.#target) continue;
      if (isHolding) socket.pause();
      else socket.resume();
    }
  }

  /** Drops bytes of the server for which this returns true; null drops none. */
  drop(drops: ((bytes: Buffer) => boolean) | null): void {
    this.#drops = drops;
  }

  /** Ends all connections. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}
