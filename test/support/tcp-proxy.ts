// A proxy between a client and a server of a test that holds bytes back, loses them, or cuts.
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

import type { Test } from 'tap';

export class TcpProxy {
  /** Forwards nothing, and closes nothing: both ends see a silent connection. */
  isSilent = false;
  /** Loses the answers of the server; the connections stay, and the server reads on. */
  losesAnswers = false;
  /** Looks at each chunk of a client: true loses the answer to it, and then the connection. */
  losesAnswer: (chunk: Buffer) => boolean = () => false;
  readonly #clients = new Set<Socket>();
  readonly #servers = new Set<Socket>();
  readonly #listener: Server;
  #isHolding = false;

  private constructor(readonly target: number) {
    this.#listener = createServer((client) => {
      this.#join(client, connect(target, '127.0.0.1'));
    });
  }

  /** Forwards a port of its own to a port of this machine until the test ends. */
  static async start(t: Pick<Test, 'teardown'>, target: number): Promise<TcpProxy> {
    const proxy = new TcpProxy(target);
    await once(proxy.#listener.listen(0, '127.0.0.1'), 'listening');
    t.teardown(() => {
      proxy.#listener.close();
      proxy.cut();
    });
    return proxy;
  }

  get port(): number {
    return (this.#listener.address() as AddressInfo).port;
  }

  /** Whether answers wait in the server's socket, on present and new connections. */
  set isHolding(isHolding: boolean) {
    this.#isHolding = isHolding;
    for (const server of this.#servers) {
      if (isHolding) server.pause();
      else server.resume();
    }
  }

  /** Ends all connections. */
  cut(): void {
    for (const socket of [...this.#clients, ...this.#servers]) socket.destroy();
  }

  #join(client: Socket, server: Socket): void {
    let isLosing = false;
    link(client, server, this.#clients, (chunk) => {
      isLosing ||= this.losesAnswer(chunk);
      if (!this.isSilent) server.write(chunk);
    });
    link(server, client, this.#servers, (chunk) => {
      if (isLosing) client.destroy();
      else if (!this.isSilent && !this.losesAnswers) client.write(chunk);
    });
    if (this.#isHolding) server.pause();
  }
}

/** Reads one end of a connection; its close ends the other. */
function link(from: Socket, to: Socket, open: Set<Socket>, onData: (chunk: Buffer) => void): void {
  open.add(from);
  from.on('data', onData);
  from.on('error', () => undefined);
  from.on('close', () => {
    open.delete(from);
    to.destroy();
  });
}
