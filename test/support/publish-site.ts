// A server with the publish API alone, requests to it, and a target that fails on demand.
import type { GatheredPresence } from '../../lib/broker/presence.js';
import type {
  BroadcastResult,
  ChannelHistoryPage,
  ChannelPage,
  DisconnectTarget,
  Receipt,
} from '../../lib/index.js';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';

import { AdminGate } from '../../lib/api/admin-gate.js';
import { AdminTokens } from '../../lib/api/admin-tokens.js';
import type { Rejection } from '../../lib/api/request-body.js';
import { reject } from '../../lib/api/response.js';
import {
  PublishApi,
  type PublishApiOptions,
  type PublishTarget,
} from '../../lib/api/publish-api.js';
import { MegacometError } from '../../lib/base/errors.js';
import { Broker } from '../../lib/broker/broker.js';
import { brokerOptions } from '../../lib/server/broker-options.js';
import { fill } from '../../lib/server/server-options.js';
import { FakePort } from './fakes/comet.js';

export const TOKEN = 'geheim';
export const NDJSON = 'application/x-ndjson';

/** A server with the API alone, and a broker with one worker behind it. */
export interface Site {
  readonly api: PublishApi;
  readonly gate: AdminGate;
  readonly broker: Broker;
  readonly worker: FakePort;
  readonly port: number;
  /** Every response so far. */
  readonly responses: readonly ServerResponse[];
  /** The error that handle() threw. */
  readonly failures: readonly unknown[];
  readonly ask: (path: string, init?: Ask) => Promise<Answer>;
  readonly open: () => Promise<Socket>;
}

type Ask = RequestInit & { token?: string | null };

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The body's lines, as JSON. */
  readonly lines: readonly Record<string, unknown>[];
}

/** Sends one request, with the token and as JSON unless told otherwise. */
async function ask(
  port: number,
  path: string,
  { token = TOKEN, headers = {}, ...init }: Ask = {},
): Promise<Answer> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, {
    ...init,
    headers: {
      ...(token === null ? {} : { Authorization: `Bearer ${token}` }),
      ...(init.body === undefined ? {} : { 'Content-Type': 'application/json' }),
      ...(headers as Record<string, string>),
    },
  });
  const text = await response.text();
  const lines = text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  return { status: response.status, headers: response.headers, text, lines };
}

/** The gate of a server with this token; null: of one without a token. */
function gateFor(token: string | null): AdminGate {
  return new AdminGate({
    ...{ protocol: 'comet', isLocal: true, allowedHosts: [] },
    tokens: new AdminTokens(token === null ? [] : [{ role: 'admin', token }]),
  });
}

/** Handles a request as the admin server does. */
function answer(
  { gate, api, failures }: { gate: AdminGate; api: PublishApi; failures: unknown[] },
  request: IncomingMessage,
  response: ServerResponse,
): void {
  try {
    const { target } = gate.admit(request);
    api.handle(request, response, target).catch((error: unknown) => {
      failures.push(error);
      response.destroy();
    });
  } catch (error) {
    reject(request, response, error as Rejection);
  }
}

/** Starts a site, and stops it at the end of the test. */
export async function site(
  test: { teardown(action: () => Promise<void>): void },
  options: Partial<PublishApiOptions> & {
    target?: PublishTarget;
    silenceMs?: number;
    token?: string | null;
  } = {},
): Promise<Site> {
  const broker = new Broker(brokerOptions(1, fill({ protocol: 'comet', messageBytes: 1000 })), {
    epoch: 1n,
  });
  const worker = new FakePort(0);
  broker.attach(worker);
  const api = new PublishApi(options.target ?? broker, {
    messageBytesMax: 1000,
    ...options,
  });
  const gate = gateFor(options.token === undefined ? TOKEN : options.token);
  const failures: unknown[] = [];
  const responses: ServerResponse[] = [];
  const server = createServer((request, response) => {
    responses.push(response);
    answer({ gate, api, failures }, request, response);
  });
  // Node's own limit, as the admin server sets it.
  server.setTimeout(options.silenceMs ?? 0);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  test.teardown(async () => {
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
    await broker.close();
  });
  return {
    api,
    gate,
    broker,
    worker,
    port,
    responses,
    failures,
    ask: (path, init) => ask(port, path, init),
    open: async () => {
      const socket = connect(port, '127.0.0.1');
      socket.on('error', () => undefined);
      test.teardown(() => {
        socket.destroy();
        return Promise.resolve();
      });
      await once(socket, 'connect');
      return socket;
    },
  };
}

export const post = (body: Buffer | string, type?: string): RequestInit => ({
  method: 'POST',
  body,
  ...(type === undefined ? {} : { headers: { 'Content-Type': type } }),
});

/** A body that is sent in pieces, without Content-Length. */
export function streamed(pieces: readonly (Uint8Array | string)[]): RequestInit {
  let next = 0;
  const body = new ReadableStream({
    pull(controller) {
      const piece = pieces[next++];
      if (piece === undefined) controller.close();
      else controller.enqueue(typeof piece === 'string' ? Buffer.from(piece) : piece);
    },
  });
  return { method: 'POST', body, duplex: 'half' };
}

/** Throws the error that belongs to the channel. */
export class MoodyTarget implements PublishTarget {
  readonly published: string[] = [];
  publish(channel: string): Promise<Receipt> {
    return new Promise((resolve) => {
      resolve(this.#take(channel));
    });
  }
  #take(channel: string): Receipt {
    if (channel === 'busy') throw new MegacometError('ERR_BUSY', 'worker 3 cannot follow');
    if (channel === 'stopped') throw new MegacometError('ERR_NOT_RUNNING', 'it does not run');
    if (channel === 'bug') throw new TypeError('a bug');
    this.published.push(channel);
    return { cursor: `x.${this.published.length}`, delivered: 0 };
  }
  channels(): Promise<ChannelPage> {
    return Promise.resolve({ channels: [], next: null, isComplete: true });
  }
  disconnect(target: DisconnectTarget): Promise<number> {
    this.published.push(`disconnect ${JSON.stringify(target)}`);
    return Promise.resolve(0);
  }
  revoke(): Promise<void> {
    this.published.push('revoked');
    return Promise.resolve();
  }
  broadcast(channels: readonly string[]): Promise<BroadcastResult[]> {
    return new Promise((resolve) => {
      resolve(channels.map((channel) => ({ channel, ...this.#take(channel) })));
    });
  }
  changeChannels(user: string, channels: readonly string[], isOn: boolean): Promise<void> {
    this.published.push(`${isOn ? 'subscribe' : 'unsubscribe'} ${user} ${channels.join()}`);
    return Promise.resolve();
  }
  gatherPresence(channel: string): Promise<GatheredPresence> {
    this.#take(channel);
    return Promise.resolve({ channel, subscribers: 0, users: 0, rows: [], isComplete: true });
  }
  history(channel: string): ChannelHistoryPage {
    this.#take(channel);
    return { channel, messages: [], cursor: 'x.0', isComplete: true, isRecovered: true };
  }
}
