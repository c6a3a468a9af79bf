// The URLs of Redis servers and Sentinels, and the errors about them.
import t from 'tap';

import { checkPrefix, parseRedisUrl } from '../../lib/log/redis-address.js';

const parse = (text: string): object => parseRedisUrl('engine', text);

t.test('the forms of a URL', (t) => {
  const plain = { master: null, user: null, db: 0, isTls: false };
  const rows: readonly [text: string, wanted: object][] = [
    [
      'redis://10.0.0.1',
      {
        ...plain,
        servers: [{ host: '10.0.0.1', port: 6379 }],
        name: 'redis://10.0.0.1:6379/0',
      },
    ],
    [
      'redis://cache.example:7000/3',
      {
        ...plain,
        servers: [{ host: 'cache.example', port: 7000 }],
        db: 3,
        name: 'redis://cache.example:7000/3',
      },
    ],
    [
      'rediss://push%40x@[fd00::1]:6380',
      {
        ...plain,
        servers: [{ host: 'fd00::1', port: 6380 }],
        user: 'push@x',
        isTls: true,
        name: 'rediss://[fd00::1]:6380/0',
      },
    ],
    ['redis://[::1]', { ...plain, servers: [{ host: '::1', port: 6379 }] }],
    [
      'redis+sentinel://a,b:26380/main/1',
      {
        ...plain,
        servers: [
          { host: 'a', port: 26_379 },
          { host: 'b', port: 26_380 },
        ],
        master: 'main',
        db: 1,
        name: 'redis+sentinel://a:26379,b:26380/main/1',
      },
    ],
    ['rediss+sentinel://a/main', { isTls: true, master: 'main' }],
  ];
  for (const [text, wanted] of rows) t.match(parse(text), wanted, text);
  t.end();
});

t.test('other URLs are rejected, and no error shows a secret', (t) => {
  const texts = [
    'redis://',
    'redis://a/b',
    'redis://a/70000',
    'redis://a/0/1',
    'redis://a,b',
    'redis://a:0',
    'redis://a?password=geheim',
    'redis://geheim@',
    'redis+sentinel://a',
    'redis+sentinel://a/two words',
    'http://geheim@a',
  ];
  for (const text of texts) {
    t.throws(() => parse(text), { code: 'ERR_OPTION_INVALID', message: /^engine: [^\n]+$/ }, text);
    t.throws(() => parse(text), { message: /^(?!.*geheim)/ }, text);
  }
  t.throws(
    () => parse('redis://user:geheim@a'),
    { message: /^engine: the URL has a password; set engine-password-file, or (?!.*geheim)/ },
    'a password in the URL',
  );
  t.end();
});

t.test('the beginning of the keys', (t) => {
  for (const text of ['megacomet', 'app:eu-1.x_y']) checkPrefix('engine-log', text);
  for (const text of ['', 'a b', '{a}', 'a'.repeat(65)]) {
    t.throws(
      () => {
        checkPrefix('engine-log', text);
      },
      { code: 'ERR_OPTION_INVALID' },
      text,
    );
  }
  t.end();
});
