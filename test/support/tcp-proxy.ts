// A proxy between a client and a server of a test, which loses bytes on demand.
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

import type { Test } from 'tap';

export class TcpProxy {
  /** Forwards nothing, and closes nothing: both ends see a silent connection. */
  isSilent = false;
  /** Looks at each chunk of a client: true loses the answer to it, and then the connection. */
  losesAnswer: (chunk: Buffer) => boolean = () => false;
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;

  private constructor(readonly target: number) {
    this.#server = createServer((client) => {
      this.#join(client, connect(target, '127.0.0.1'));
    });
  }

  static async start(t: Pick<Test, 'teardown'>, target: number): Promise<TcpProxy> {
    const proxy = new TcpProxy(target);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    t.teardown(() => {
      proxy.#server.close();
      proxy.cut();
    });
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Ends all connections. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #join(client: Socket, server: Socket): void {
    let isLosing = false;
    const pipe = (from: Socket, to: Socket, isLost: (chunk: Buffer) => boolean): void => {
      this.#sockets.add(from);
      from.on('data', (chunk: Buffer) => {
        if (isLost(chunk)) to.destroy();
        else if (!this.isSilent) to.write(chunk);
      });
      from.on('error', () => undefined);
      from.on('close', () => {
        this.#sockets.delete(from);
        to.destroy();
      });
    };
    pipe(client, server, (chunk) => {
      isLosing ||= this.losesAnswer(chunk);
      return false;
    });
    pipe(server, client, () => isLosing);
  }
}
