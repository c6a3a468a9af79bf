// The words about servers of Redis, without a server.
import t from 'tap';

import { loadIoredis, parseInfo, redisReason, wordOf } from '../../lib/log/redis-client.js';
import { checkServer } from '../../lib/log/redis-server.js';

const reply = (message: string): Error => Object.assign(new Error(message), { name: 'ReplyError' });

t.test('a missing package is one sentence with the command that installs it', async (t) => {
  const missing = Object.assign(new Error('no'), { code: 'ERR_MODULE_NOT_FOUND' });
  await t.rejects(
    loadIoredis(() => Promise.reject(missing)),
    {
      code: 'ERR_LOG',
      message: 'engine: the package ioredis is not installed: npm install ioredis',
    },
  );
  await t.rejects(
    loadIoredis(() => Promise.reject(new Error('broken'))),
    { message: 'engine: the package ioredis cannot be loaded (broken)' },
  );
});

t.test('the word of an error, also inside the sentence of a script', (t) => {
  const nested = (word: string): string =>
    `ERR Error running script (call to f_0a): @user_script:9: @user_script: 9: -${word} command not allowed`;
  t.equal(wordOf(reply("OOM command not allowed when used memory > 'maxmemory'.")), 'OOM');
  t.equal(wordOf(reply(nested('OOM'))), 'OOM');
  t.equal(wordOf(reply(nested('READONLY'))), 'READONLY');
  t.equal(wordOf(reply('ERR unknown command')), 'ERR');
  t.equal(redisReason(reply('ERR unknown command')), 'ERR: unknown command');
  t.match(
    redisReason(reply('WRONGPASS invalid')),
    /^WRONGPASS: the user or the password is wrong$/,
  );
  t.end();
});

const INFO = {
  redis_version: '6.2.0',
  run_id: 'abc',
  role: 'master',
  loading: '0',
  maxmemory_policy: 'noeviction',
};

t.test('a server that cannot hold a log is rejected with one sentence', (t) => {
  const check = (more: object): string => {
    const lines = Object.entries({ ...INFO, ...more }).map(([name, value]) => `${name}:${value}`);
    return checkServer(parseInfo(['# Server', ...lines].join('\r\n')));
  };
  t.equal(check({}), 'abc');
  t.equal(check({ redis_version: '7.2.4', valkey_version: '8.0.1' }), 'abc', 'Valkey');
  const rows: readonly [more: object, message: RegExp][] = [
    [{ redis_version: '6.0.16' }, /^it is Redis 6\.0\.16; 6\.2 or newer is required$/],
    [{ redis_version: '' }, /^it is not a Redis server$/],
    [{ loading: '1' }, /^LOADING: /],
    [{ role: 'slave' }, /^READONLY: /],
    [{ maxmemory_policy: 'allkeys-lru' }, /^its maxmemory-policy is allkeys-lru, .* noeviction$/],
  ];
  for (const [more, message] of rows) t.throws(() => check(more), { message });
  t.end();
});
