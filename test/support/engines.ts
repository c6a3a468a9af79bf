// The engines of a cluster, each as a real server of a test, for tests that run with every one of them.
import type { Test } from 'tap';

import type { Log } from '../../lib/log/log.js';
import { natsLog, NatsServer } from './nats.js';
import { redisLog, RedisProcess } from './redis.js';

/** A server of an engine, which a test may stop, kill and start again. */
export interface Engine {
  readonly port: number;
  /** Stops it until resume(), as a process that hangs. */
  suspend(): Promise<void>;
  resume(): void;
  kill(): Promise<void>;
  /** Starts it again, without the entries that it had. */
  runEmpty(): Promise<void>;
  /** A log of the test on the same server. */
  log(): Log;
}

export interface EngineKind {
  readonly name: string;
  readonly program: 'nats-server' | 'redis-server';
  readonly urlOf: (port: number) => string;
  readonly start: (t: Test) => Promise<Engine>;
}

export const ENGINES: readonly EngineKind[] = [
  {
    name: 'Redis',
    program: 'redis-server',
    urlOf: (port) => `redis://127.0.0.1:${port}`,
    start: async (t) => {
      const redis = await RedisProcess.start(t);
      return {
        port: redis.port,
        suspend: () => redis.suspend(),
        resume: () => {
          redis.signal('SIGCONT');
        },
        kill: () => redis.kill(),
        runEmpty: () => redis.run(),
        log: () => redisLog(t, redis.url, { prefix: 'megacomet' }),
      };
    },
  },
  {
    name: 'NATS',
    program: 'nats-server',
    urlOf: (port) => `nats://127.0.0.1:${port}`,
    start: async (t) => {
      const nats = await NatsServer.start(t);
      return {
        port: nats.port,
        suspend: () => nats.suspend(),
        resume: () => {
          nats.signal('SIGCONT');
        },
        kill: () => nats.kill(),
        runEmpty: () => {
          nats.empty();
          return nats.run();
        },
        log: () => {
          const log = natsLog(nats.url);
          t.teardown(() => log.close());
          return log;
        },
      };
    },
  },
];
