// The client libraries of NATS: optional packages, loaded when a log of NATS is opened.
import type * as JetStream from '@nats-io/jetstream';
import type * as Nats from '@nats-io/transport-node';

import { MegacometError } from '../base/errors.js';
import { reasonOf } from '../base/reason.js';

export interface NatsModule {
  readonly core: typeof Nats;
  readonly jetstream: typeof JetStream;
}

async function importBoth(): Promise<NatsModule> {
  const [core, jetstream] = await Promise.all([
    import('@nats-io/transport-node'),
    import('@nats-io/jetstream'),
  ]);
  return { core, jetstream };
}

/**
 * Loads the libraries.
 *
 * @throws MegacometError `ERR_LOG` with the command that installs them.
 */
export async function loadNats(load = importBoth): Promise<NatsModule> {
  try {
    return await load();
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ERR_MODULE_NOT_FOUND';
    const packages = '@nats-io/transport-node and @nats-io/jetstream';
    const reason = isMissing
      ? `${packages} are not installed: npm install @nats-io/transport-node @nats-io/jetstream`
      : `${packages} cannot be loaded (${reasonOf(error)})`;
    throw new MegacometError('ERR_LOG', `engine: ${reason}`);
  }
}

interface NatsError {
  readonly name?: string;
  readonly message?: string;
  readonly code?: unknown;
  readonly cause?: unknown;
}

/** By the name of an error of the libraries. */
const WORDS: Readonly<Record<string, string>> = {
  AuthorizationError: 'the server rejects the login: check user, password and credentials',
  ClosedConnectionError: 'the connection is closed',
  JetStreamNotEnabled: 'JetStream is not enabled on the server: start it with -js',
  TimeoutError: 'no answer in time',
  UserAuthenticationExpiredError: 'the credentials have expired',
};

/** Parts of messages of the libraries that do not say how to fix the cause. */
const SENTENCES: readonly (readonly [part: RegExp, words: string])[] = [
  [
    /'?tls'? is not available|does not support 'tls'/,
    'the server does not offer TLS: use nats://, or enable it there',
  ],
  [/no responders/i, 'JetStream does not answer on the server'],
];

/** Why a call of the libraries failed, for people. */
export function natsReason(error: unknown): string {
  const { name = '', message = '', code, cause } = error as NatsError;
  if (/^Permissions Violation/i.test(message)) {
    return `${message}: the user lacks a permission; docs/cluster-nats.md has all of them`;
  }
  const words = WORDS[name] ?? SENTENCES.find(([part]) => part.test(message))?.[1];
  if (words !== undefined) return words;
  if (name === 'ConnectionError' && cause instanceof Error) return reasonOf(cause);
  // Errors of JetStream have a number.
  return typeof code === 'number' ? message : reasonOf(error);
}
