// The log of a cluster in Redis or NATS, from the options of the server.
import { randomBytes } from 'node:crypto';

import { invalidOption } from '../base/call-check.js';
import { readOptionFile } from '../base/option-file.js';
import type { LogSetup } from '../broker/broker-log.js';
import type { Log } from '../log/log.js';
import { isNatsUrl, parseNatsUrl } from '../log/nats-address.js';
import { checkPrefix, isRedisUrl, parseRedisUrl } from '../log/redis-address.js';
import { packageVersion } from '../system/native.js';
import type { Filled } from './server-options.js';

/** Bytes of a node's name: two lives of all nodes never have the same. */
const NODE_BYTES = 6;

/** The text of a file that an option names; null without one. */
function textOf(option: string, file: string | undefined): string | null {
  return file === undefined ? null : readOptionFile(option, file).toString();
}

/** The password at this moment, because its file may change. The file takes precedence. */
function passwordOf({ enginePassword, enginePasswordFile }: Filled): string | null {
  const text = textOf('engine-password-file', enginePasswordFile);
  return text?.replace(/\r?\n$/, '') ?? enginePassword ?? null;
}

// The libraries are loaded only for the engine that the options name.
async function redisLog(url: string, options: Filled): Promise<Log> {
  const address = parseRedisUrl('engine', url);
  const { RedisLog } = await import('../log/redis-log.js');
  return new RedisLog({
    address,
    prefix: options.engineLog,
    keepBytes: options.engineKeepBytes,
    waitReplicas: options.engineWait,
    password: () => passwordOf(options),
    ca: textOf('engine-ca', options.engineCa),
  });
}

async function natsLog(url: string, options: Filled): Promise<Log> {
  const address = parseNatsUrl('engine', url);
  const { NatsLog } = await import('../log/nats-log.js');
  const login = (): { password: string | null; credentials: string | null } => ({
    password: passwordOf(options),
    credentials: textOf('engine-credentials', options.engineCredentials),
  });
  login();
  return new NatsLog({
    address,
    access: { login, ca: textOf('engine-ca', options.engineCa) },
    name: options.engineLog,
    replicas: options.engineReplicas,
    keepBytes: options.engineKeepBytes,
  });
}

/**
 * The log of `engine`, not open yet.
 *
 * @throws MegacometError `ERR_OPTION_INVALID`; `ERR_LOG` if the library of the engine is not installed.
 */
export async function engineLog(url: string, options: Filled): Promise<LogSetup> {
  checkPrefix('engine-log', options.engineLog);
  // A wrong file is an error at the start, not at the first connection.
  passwordOf(options);
  const open = isRedisUrl(url) ? redisLog : isNatsUrl(url) ? natsLog : null;
  if (open === null) {
    const rule = 'is not the URL of an engine: redis, rediss, redis+sentinel, nats or tls';
    throw invalidOption(`engine: ${url.split('://')[0] ?? ''} ${rule}`);
  }
  return {
    log: await open(url, options),
    isShared: true,
    node: randomBytes(NODE_BYTES).toString('hex'),
    version: packageVersion,
    keeps: { bytes: options.engineKeepBytes, ageMs: Infinity },
  };
}
