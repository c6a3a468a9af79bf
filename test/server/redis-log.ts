// The log in Redis passes the tests of every log, on a real server.
import { testLog } from '../support/log-conformance.js';
import { RedisProcess, redisLog } from '../support/redis.js';
import { without } from '../support/requirements.js';

testLog({
  name: 'redis',
  skip: without('redis-server'),
  isShared: true,
  store: async (t) => {
    const server = await RedisProcess.start(t);
    return {
      make: () => redisLog(t, server.url),
      forget: async (upTo) => {
        await server.command('XTRIM', '{test}:log', 'MINID', `${upTo + 1}-0`);
        return upTo;
      },
      interrupt: async () => {
        await server.suspend();
        return () => {
          server.signal('SIGCONT');
        };
      },
    };
  },
});
