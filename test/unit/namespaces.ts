// The options of channels by prefix: how they are read, and which a channel has.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';

import { Namespaces, usualRules, type ChannelRules } from '../../lib/broker/namespaces.js';
import { createServer } from '../../lib/index.js';
import { readSettings } from '../../lib/options/config.js';
import { namespaceRules } from '../../lib/server/broker-options.js';
import { fill } from '../../lib/server/server-options.js';

const HISTORY = { count: 100, bytes: 134_217_728, ageMs: 300_000 };
const USUAL = usualRules(HISTORY, HISTORY);

/** Rules by pattern, which their spread names. */
function numbered(patterns: readonly string[]): Namespaces {
  const rules = patterns.map((pattern, index): [string, ChannelRules] => [
    pattern,
    { ...USUAL, spreadMs: index + 1 },
  ]);
  return new Namespaces(USUAL, new Map(rules));
}

t.test('a channel has the rules of its longest pattern', (t) => {
  const namespaces = numbered(['chat/*', 'chat/private/*', '/*']);
  const rows: [string, number][] = [
    ['chat/7', 1],
    ['chat/', 1],
    ['chat/*', 1],
    ['chat/7/8', 1],
    ['chat/private/7', 2],
    ['chat/private/*', 2],
    ['chat/private', 1],
    ['chat', 0],
    ['chats/7', 0],
    ['/', 3],
    ['/x', 3],
    ['//x', 3],
    ['x', 0],
  ];
  for (const [name, wanted] of rows) t.equal(namespaces.of(name).spreadMs, wanted, name);
  const all = numbered(['*', 'a/*']);
  t.equal(all.of('x').spreadMs, 1);
  t.equal(all.of('a/x').spreadMs, 2);
  t.end();
});

t.test('an option that a namespace leaves out is that of the server', (t) => {
  const options = { protocol: 'comet', historyCount: 7, historyAge: 60 };
  const rules = namespaceRules(
    fill({
      ...options,
      namespaces: {
        'a/*': {},
        'a/b/*': { historyAge: 5, public: false, joinLeave: true, slowPolicy: 'latestOnly' },
        'c/*': { historyCount: 0 },
      },
    }),
  );
  const usual = { count: 7, bytes: 134_217_728, ageMs: 60_000 };
  t.match(rules.get('a/*'), { ...usualRules(usual, usual), isPublic: undefined });
  t.match(rules.get('a/b/*'), {
    history: { ...usual, ageMs: 5000 },
    isPublic: false,
    hasJoinLeave: true,
    policy: 'latestOnly',
    hasPresence: true,
  });
  t.equal(rules.get('c/*')?.history, null);
  t.end();
});

/** The error of a config file. */
function complaint(t: Test, text: string): string {
  const path = join(t.testdir(), 'config.json');
  writeFileSync(path, text);
  try {
    const { namespaces } = readSettings('serve', { flags: { config: path }, env: {} });
    namespaceRules(fill({ protocol: 'comet', namespaces }));
    return '';
  } catch (error) {
    return (error as Error).message.replace(path, 'FILE');
  }
}

/** A config file whose namespaces begin at line 4. */
function file(namespaces: string): string {
  return `{\n  "protocol": "comet",\n  "namespaces": {\n${namespaces}\n  }\n}\n`;
}

t.test('an error of a config file names the line', (t) => {
  const rows: [namespaces: string, message: RegExp | string][] = [
    [
      '"chat/*": {\n"history-cuont": 5 }',
      /^FILE:5: namespaces: chat\/\*: unknown option history-cuont \(did you mean history-count\?\)$/,
    ],
    [
      '"chat/*": {\n\n"history-count": -1 }',
      /^FILE:6: namespaces: chat\/\*: history-count: -1 is not between 0 and 10000$/,
    ],
    [
      '"chat/*": {},\n"news/*": {},\n"chat/*": {}',
      /^FILE:3: namespaces has the duplicate key "chat\/\*" \(line 6\)$/,
    ],
    [
      '"chat/*": {\n"public": true,\n"public": true}',
      /^FILE:4: namespaces: chat\/\* has the duplicate key "public" \(line 6\)$/,
    ],
    [
      '"a/*": {},\n"chat": {}',
      /^FILE:5: namespaces: "chat" is not a prefix that ends in \/\*, such as "chat\/\*", or "\*"$/,
    ],
    ['"chat/": {}', /^FILE:4: namespaces: "chat\/" is not a prefix/],
    ['"c*t/*": {}', /^FILE:4: namespaces: "c\*t\/\*" is not a prefix/],
    ['"chat/*": 5', /^FILE:4: namespaces: chat\/\* is not a JSON object$/],
    [
      '"chat/*": {"public": "maybe"}',
      /^FILE:4: namespaces: chat\/\*: public: "maybe" is not true or false$/,
    ],
    [
      '"chat/*": {"client-publish": "all"}',
      /^FILE:4: .*"all" is not one of nobody, subscribers, grant$/,
    ],
    [
      '"chat/*": {"presence": false,\n"join-leave": true}',
      /^FILE:5: namespaces: chat\/\*: join-leave: true needs the presence of this namespace$/,
    ],
    [
      '"chat/*": {"client-publish": "grant"}',
      /^namespaces: chat\/\*: client-publish: "grant" needs --token-key, --token-jwks-url or --hook-url$/,
    ],
    ['"chat/*": {"history-count": 5}', ''],
  ];
  for (const [namespaces, message] of rows) {
    const found = complaint(t, file(namespaces));
    if (typeof message === 'string') t.equal(found, message, namespaces);
    else t.match(found, message, namespaces);
  }
  const many = Array.from({ length: 1001 }, (_, index) => `"n${index}/*": {}`).join(',');
  t.match(
    complaint(t, file(many)),
    /^FILE:3: namespaces: 1001 namespaces; at most 1000 are allowed$/,
  );
  t.equal(complaint(t, '{"namespaces": {}}'), 'FILE: namespaces: {} needs --protocol comet');
  t.match(
    complaint(t, '{"protocol":"comet","namespaces": []}'),
    /^FILE:1: namespaces is not a JSON object$/,
  );
  t.end();
});

t.test('the library has the same rules', (t) => {
  const rows: [namespaces: unknown, message: RegExp][] = [
    [5, /^createServer: namespaces: 5 is not an object of namespaces by pattern$/],
    [[], /is not an object of namespaces/],
    [{ chat: {} }, /^createServer: namespaces: "chat" is not a prefix that ends in/],
    [{ 'a/*': null }, /^createServer: namespaces: a\/\*: null is not an object with options$/],
    [
      { 'a/*': { 'history-count': 5 } },
      /unknown option history-count \(did you mean historyCount\?\)$/,
    ],
    [
      { 'a/*': { historyCount: 10_001 } },
      /^createServer: namespaces: a\/\*: historyCount: 10001 is not between/,
    ],
    [{ 'a/*': { joinLeave: true, presence: false } }, /joinLeave: true needs the presence/],
  ];
  for (const [namespaces, message] of rows) {
    t.throws(
      () => createServer({ protocol: 'comet', namespaces: namespaces as object as never }),
      { message },
      JSON.stringify(namespaces),
    );
  }
  t.throws(() => createServer({ namespaces: { 'a/*': {} } }), {
    message: /needs --protocol comet$/,
  });
  t.end();
});

t.test('only a config file and the library have namespaces', (t) => {
  t.throws(() => readSettings('serve', { flags: {}, env: { MEGACOMET_NAMESPACES: '{}' } }), {
    message: /MEGACOMET_NAMESPACES/,
  });
  t.end();
});
