// One connection to a Redis server: connects, logs in, and learns which server answers.
import type { Redis } from 'ioredis';

import { isLoopback, type Peer } from '../base/address.js';
import { MegacometError } from '../base/errors.js';
import { reasonOf } from '../base/reason.js';
import type { Patience } from './log.js';

/** Reads user and password anew for each connection, because they may change. */
export interface RedisLogin {
  readonly user: string | null;
  readonly password: string | null;
}

export interface RedisAccess {
  readonly login: () => RedisLogin;
  readonly isTls: boolean;
  /** Certificates of the issuers as PEM; null for those of Node.js. */
  readonly ca: string | null;
  readonly patience: Patience;
}

const KEEP_ALIVE_MS = 10_000;

/** Loads the client library. @throws MegacometError `ERR_LOG` if it is not installed. */
export async function loadIoredis(
  load: () => Promise<{ readonly Redis: typeof Redis }> = () => import('ioredis'),
): Promise<typeof Redis> {
  try {
    return (await load()).Redis;
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ERR_MODULE_NOT_FOUND';
    const reason = isMissing
      ? 'the package ioredis is not installed: npm install ioredis'
      : `the package ioredis cannot be loaded (${reasonOf(error)})`;
    throw new MegacometError('ERR_LOG', `engine: ${reason}`);
  }
}

/** Whether an error is an answer of the server; any other means that the answer is missing. */
export function isReply(error: unknown): error is Error {
  return (error as Error).name === 'ReplyError';
}

/** The word at the start of an error of Redis: `OOM`. */
export function wordOf(error: Error): string {
  // Redis 6.2 puts the errors of a script into a sentence: `ERR Error running script …: -OOM …`.
  const [, inner] = /^ERR .*(?:: |@user_script: ?\d*: )-?([A-Z]{3,})\b/s.exec(error.message) ?? [];
  // The rights of a user inside a script have no word of their own.
  if (error.message.includes("executing the script can't")) return 'NOPERM';
  return inner ?? /^[A-Z]+/.exec(error.message)?.[0] ?? 'ERR';
}

/** Words whose cause the operator fixes, in a sentence. */
const WORDS: Readonly<Record<string, string>> = {
  BUSY: 'it runs a script of another program for too long',
  LOADING: 'it loads its data',
  MASTERDOWN: 'it has lost its master',
  MISCONF: 'it cannot save its data to the disk',
  NOAUTH: 'it needs a password: set engine-password-file',
  NOPERM: 'the user lacks a right; docs/cluster.md has all of them',
  NOREPLICAS: 'it has too few replicas to accept writes',
  OOM: 'it has no memory left below its maxmemory',
  READONLY: 'it is a replica and does not accept writes',
  WRONGPASS: 'the user or the password is wrong',
  WRONGTYPE: 'another program uses the keys of engine-log',
};

/** Why a call failed, for people. An answer of the server begins its reason with its word. */
export function redisReason(error: unknown): string {
  if (!isReply(error)) return reasonOf(error);
  const word = wordOf(error);
  return `${word}: ${WORDS[word] ?? error.message.replace(/^[A-Z]+ /, '')}`;
}

/** The facts of `INFO`. */
export type RedisInfo = ReadonlyMap<string, string>;

export function parseInfo(text: string): RedisInfo {
  const lines = text.split('\r\n').map((line) => line.split(':') as [string, ...string[]]);
  return new Map(lines.map(([name, ...rest]) => [name, rest.join(':')]));
}

/** A connection that is logged in. It ends once, and never connects again. */
export class RedisClient {
  /** Resolves with the reason when the connection has ended. */
  readonly closed: Promise<string>;
  readonly #redis: Redis;
  #reason: string | null = null;
  #isClosed = false;

  private constructor(redis: Redis) {
    this.#redis = redis;
    redis.on('error', (error: Error) => {
      this.#reason ??= redisReason(error);
    });
    this.closed = new Promise((resolve) => {
      redis.once('end', () => {
        this.#isClosed = true;
        resolve(this.#reason ?? 'it closed the connection');
      });
    });
  }

  /**
   * @throws Error with the reason.
   */
  static async connect(
    Client: typeof Redis,
    peer: Peer,
    { isTls, ca, login, patience }: RedisAccess,
  ): Promise<RedisClient> {
    const { user, password } = login();
    if (user !== null && password === null) throw new Error(`the user ${user} needs a password`);
    if (password !== null && !isTls && peer.host !== 'localhost' && !isLoopback(peer.host)) {
      throw new Error('a password needs TLS to another machine: use rediss://');
    }
    const client = new RedisClient(new Client(optionsOf(peer, isTls, ca, patience)));
    const timer = setTimeout(() => {
      client.destroy('no answer in time');
    }, patience.answerMs);
    try {
      await client.#redis.connect();
      if (password !== null) await client.#logIn(user, password);
      return client;
    } catch (error) {
      client.destroy();
      throw client.explain(error);
    } finally {
      clearTimeout(timer);
    }
  }

  async #logIn(user: string | null, password: string): Promise<void> {
    try {
      await this.call('AUTH', ...(user === null ? [] : [user]), password);
    } catch (error) {
      // The server needs no password: the operator sees that in the server's configuration.
      if (isReply(error) && /without any password|no password is set/.test(error.message)) return;
      // The error of the library holds the arguments of the command.
      throw isReply(error) ? Object.assign(new Error(error.message), { name: error.name }) : error;
    }
  }

  /** Bytes received, which tell a slow answer from none. */
  get bytesRead(): number {
    return this.#redis.stream.bytesRead;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** The error of a call, with the reason of a connection that ended meanwhile. */
  explain(error: unknown): Error {
    return isReply(error) ? error : new Error(this.#reason ?? redisReason(error));
  }

  /** Sends a command; its answer has strings. Rejects also when the connection ends. */
  call(command: string, ...args: (Buffer | number | string)[]): Promise<unknown> {
    return this.#redis.call(command, args);
  }

  /** The same with buffers in the answer. */
  callBuffer(command: string, ...args: (Buffer | number | string)[]): Promise<unknown> {
    return this.#redis.callBuffer(command, args);
  }

  /** Ends the connection at once; calls under way are rejected. */
  destroy(reason?: string): void {
    if (this.#isClosed) return;
    if (reason !== undefined) this.#reason ??= reason;
    this.#redis.disconnect();
    // disconnect() alone waits two seconds for the FIN of a server that hangs.
    (this.#redis.stream as Redis['stream'] | undefined)?.destroy();
  }
}

function optionsOf({ host, port }: Peer, isTls: boolean, ca: string | null, patience: Patience) {
  // The library counts a handshake of TLS too.
  const connectTimeout = isTls ? patience.answerMs : patience.reachMs;
  return {
    ...{ host, port, lazyConnect: true, protocol: 2 as const, disableClientInfo: true },
    ...{ enableOfflineQueue: false, enableReadyCheck: false, autoResubscribe: false },
    ...{ autoResendUnfulfilledCommands: false, maxRetriesPerRequest: null },
    // Each connection is an object of its own, made from an address that was resolved anew.
    retryStrategy: () => null,
    ...{ connectTimeout, keepAlive: KEEP_ALIVE_MS, noDelay: true },
    ...(isTls ? { tls: ca === null ? {} : { ca } } : {}),
  };
}
