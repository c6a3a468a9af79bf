// Passwords, rights and TLS of a log in Redis, on a real server.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import t from 'tap';

import { PATIENCE } from '../../lib/log/log.js';
import { RedisClient, type RedisAccess } from '../../lib/log/redis-client.js';
import { Redis } from 'ioredis';
import { Authority, filesOf } from '../../bench/certificates.js';
import { freePort, root, until } from '../support/helpers.js';
import { openRedisLog, redisLog, RedisProcess } from '../support/redis.js';
import { without } from '../support/requirements.js';

const skip = without('redis-server');
const PASSWORD = 'correct horse';

t.test(
  'a wrong or missing password is one sentence; a changed one is read again',
  { skip },
  async (t) => {
    const server = await RedisProcess.start(t, { password: PASSWORD });
    let password = PASSWORD;
    const { node, record } = await openRedisLog(t, server.url, { password: () => password });
    await record.reached(await node.append('a'));
    await t.rejects(redisLog(t, server.url, { password: () => 'wrong' }).open(), {
      code: 'ERR_LOG',
      message: `engine: ${server.url}/0: WRONGPASS: the user or the password is wrong`,
    });
    await t.rejects(redisLog(t, server.url).open(), {
      code: 'ERR_LOG',
      message: `engine: ${server.url}/0: NOAUTH: it needs a password: set engine-password-file`,
    });
    await t.rejects(redisLog(t, server.url.replace('//', '//ada@')).open(), {
      message: /: the user ada needs a password$/,
    });
    await server.command('CONFIG', 'SET', 'requirepass', 'new');
    await server.command('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    await until('the break', () => record.kinds.includes('down'));
    await t.rejects(node.try('fails'), { code: 'ERR_LOG', message: /: WRONGPASS: [^\n]+$/ });
    password = 'new';
    await record.reached(await until('the log', () => node.try('b').catch(() => 0)));
    t.same(record.texts, ['a', 'b']);
  },
);

t.test(
  'the rights of docs/cluster.md are enough, and fewer are one sentence',
  { skip },
  async (t) => {
    const server = await RedisProcess.start(t);
    const page = readFileSync(join(root, 'docs/cluster.md'), 'utf8');
    const [, name = '', rights = ''] = /^user (\w+) on (.*)$/m.exec(page) ?? [];
    const words = rights.replace('PASSWORD', 'geheim').split(' ');
    await server.command('ACL', 'SETUSER', name, 'on', ...words);
    const options = { prefix: 'megacomet', password: () => 'geheim', keepBytes: 6400 };
    const { node, record } = await openRedisLog(t, server.url.replace('//', `//${name}@`), options);
    // Enough for the commands that trim the stream.
    for (let round = 0; round < 25; round++) {
      const batches = Array.from({ length: 4 }, () => node.append(Buffer.alloc(1000)));
      await record.reached((await Promise.all(batches)).at(-1));
    }
    const length = Number(await server.command('XLEN', '{megacomet}:log'));
    t.ok(length < 100, `${length} entries are kept`);
    t.ok(length * 1000 >= 6400, 'and at least the bytes of the option');
    await server.command('ACL', 'SETUSER', name, '-xadd');
    await t.rejects(node.try('fails'), {
      code: 'ERR_LOG',
      message: /: NOPERM: the user lacks a right/,
    });
    const foreign = redisLog(t, server.url.replace('//', `//${name}@`), {
      ...options,
      prefix: 'other',
    });
    await t.rejects(foreign.open(), { code: 'ERR_LOG', message: /: NOPERM: / });
  },
);

t.test('TLS with a private authority; without it a password stays here', { skip }, async (t) => {
  const authority = new Authority();
  const [, cert = '', , key = ''] = filesOf(t.testdir(), authority.certify());
  const port = await freePort();
  await RedisProcess.start(t, {
    args: [
      ...['--tls-port', String(port), '--tls-auth-clients', 'no'],
      ...['--tls-cert-file', cert, '--tls-key-file', key],
      ...['--tls-ca-cert-file', cert],
    ],
  });
  const url = `rediss://127.0.0.1:${port}`;
  const { node, record } = await openRedisLog(t, url, { ca: authority.cert });
  await record.reached(await node.append('a'));
  await t.rejects(redisLog(t, url).open(), { message: /certificate/ });
  await t.rejects(redisLog(t, url.replace('rediss', 'redis'), {}).open(), { code: 'ERR_LOG' });
  const access: RedisAccess = {
    login: () => ({ user: null, password: 'geheim' }),
    isTls: false,
    ca: null,
    patience: PATIENCE,
  };
  await t.rejects(RedisClient.connect(Redis, { host: '192.0.2.1', port: 6379 }, access), {
    message: 'a password needs TLS to another machine: use rediss://',
  });
});
