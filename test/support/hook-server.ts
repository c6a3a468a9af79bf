// A back end that decides about clients: a real HTTP server, whose behaviour a test sets.
import { createHmac, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';

/** A hook request as the back end received it. */
export interface Asked {
  readonly action: string;
  readonly channels: readonly string[];
  readonly user: string;
  readonly transport: string;
  readonly address: string;
  readonly token: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly cookies: Readonly<Record<string, string>>;
}

export type Behaviour = (asked: Asked, response: ServerResponse) => void;

/** Sends an answer as JSON. */
export function answer(body: object): Behaviour {
  return (_asked, response) => {
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify(body));
  };
}

/** Never answers. */
export const hang: Behaviour = () => undefined;

async function bodyOf(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of request as AsyncIterable<Buffer>) parts.push(part);
  return Buffer.concat(parts).toString('utf8');
}

export class HookServer {
  readonly asked: Asked[] = [];
  /** The raw requests, for their signature. */
  readonly bodies: { readonly text: string; readonly request: IncomingMessage }[] = [];
  behaviour: Behaviour = answer({ allow: true });
  readonly secret = randomUUID() + randomUUID();
  readonly secretFile: string;
  readonly #server = createServer((request, response) => {
    void this.#take(request, response);
  });

  private constructor(test: Test) {
    // Not with testdir(), which each test can call once.
    const folder = mkdtempSync(join(tmpdir(), 'hook-'));
    this.secretFile = join(folder, 'hook.secret');
    writeFileSync(this.secretFile, this.secret, { mode: 0o600 });
    test.teardown(() => {
      this.close();
      rmSync(folder, { recursive: true });
    });
  }

  static async start(test: Test, port = 0): Promise<HookServer> {
    const hook = new HookServer(test);
    await hook.listen(port);
    return hook;
  }

  async listen(port: number): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(port, '127.0.0.1', resolve));
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/hook`;
  }

  /** Options of a server that asks this one. */
  get options(): { hookUrl: string; hookSecret: string } {
    return { hookUrl: this.url, hookSecret: this.secretFile };
  }

  /** Whether the server of this secret has signed the request. */
  isSigned(index: number): boolean {
    const { text = '', request } = this.bodies[index] ?? {};
    const timestamp = String(request?.headers['megacomet-timestamp']);
    const wanted = createHmac('sha256', this.secret).update(`${timestamp}.${text}`).digest('hex');
    const age = Math.abs(Date.now() / 1000 - Number(timestamp));
    return request?.headers['megacomet-signature'] === wanted && age < 60;
  }

  /** The requests about an action. */
  about(action: string): Asked[] {
    return this.asked.filter((asked) => asked.action === action);
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const text = await bodyOf(request);
    const asked = JSON.parse(text) as Asked;
    this.bodies.push({ text, request });
    this.asked.push(asked);
    this.behaviour(asked, response);
  }
}
