// The arguments of the library's calls on a running comet server: a mistake is an error that names the
// argument, its value and the rule, whatever value a program passes, and it changes nothing.
import t from 'tap';

import {
  createServer,
  createToken,
  MegacometError,
  signUrl,
  type Server,
} from '../../lib/index.js';
import { Secret } from '../support/client-tokens.js';
import { startComet, StreamClient } from '../support/comet-world.js';
import { until } from '../support/helpers.js';

/** A call that a program in JavaScript makes: no compiler checks its arguments. */
type Call = (server: Record<string, (...values: unknown[]) => unknown>) => unknown;

/** The error of a call, thrown or rejected, as `CODE: message`. */
async function complaint(server: Server | null, call: Call): Promise<string> {
  try {
    const value = await call(server as unknown as Parameters<Call>[0]);
    return `returned ${JSON.stringify(value)}`;
  } catch (error) {
    if (!(error instanceof MegacometError)) throw error;
    return `${error.code}: ${error.message}`;
  }
}

const circle: Record<string, unknown> = {};
circle['self'] = circle;

/** Values that no call takes as options, as a number or as a name. */
const ODD_VALUES: readonly unknown[] = [
  ...[
    null,
    9000n,
    NaN,
    Infinity,
    -1,
    1.5,
    Symbol('s'),
    true,
    [],
    [5n],
    circle,
    new Map([['a', 1]]),
  ],
  ...[(): number => 1, new Date(0), new Proxy({}, {}), { unknown: 1 }, { [Symbol('s')]: 1 }],
];

t.test('createServer() takes known options with valid values, and nothing else', async (t) => {
  const create = (options: unknown): Promise<string> =>
    complaint(null, () => {
      createServer(options as object);
    });
  const rows: [unknown, RegExp][] = [
    [null, /^ERR_OPTION_INVALID: createServer: null is not an object with options$/],
    [9000, /createServer: 9000 is not an object/],
    [[], /createServer: \[\] is not an object/],
    [true, /createServer: true is not an object/],
    [(): number => 1, /createServer: a function is not an object/],
    [new Map([['port', 1]]), /createServer: Map\(1\) .* is not an object/],
    [{ port: 9000n }, /createServer: port: 9000n is not a port/],
    [{ port: NaN }, /createServer: port: NaN is not a port/],
    [{ port: Symbol('s') }, /createServer: port: Symbol\(s\) is not a port/],
    [{ maxConnections: 10n }, /maxConnections: 10n is not a whole number/],
    [{ origin: [5n], protocol: 'comet' }, /origin: \[ 5n \] is not a list/],
    [{ origin: circle, protocol: 'comet' }, /origin: .*Circular.* is not a list/],
    [{ [Symbol('port')]: 1 }, /^ERR_OPTION_UNKNOWN: createServer: unknown option Symbol\(port\)/],
    [Object.create({ prot: 1 }), /unknown option prot \(did you mean protocol\?\)/],
    [{ logger: {} }, /createServer: logger: \{\} is not an object with the methods debug, info/],
    [{ logger: null }, /createServer: logger: null is not an object with the methods/],
    [{ historyCount: 5 }, /createServer: historyCount: 5 needs --protocol comet/],
    [{ adminHost: '127.0.0.1' }, /createServer: adminHost: "127.0.0.1" needs --admin-port/],
  ];
  for (const [options, wanted] of rows) t.match(await create(options), wanted);
  for (const options of [
    undefined,
    {},
    { logger: console },
    Object.create({ port: 1 }),
    { port: undefined },
  ])
    t.equal(await create(options), 'returned undefined');
});

const WRONG_CALLS: readonly [Call, RegExp][] = [
  [(s) => s['publish']?.('a', 'x', { ttl: 5 }), /^ERR_OPTION_UNKNOWN: publish: unknown option ttl/],
  [(s) => s['publish']?.('a', 'x', { ttlMs: '5' }), /^ERR_MESSAGE: ttlMs: "5" is not a whole/],
  [(s) => s['publish']?.('a', 'x', { spreadMs: 1n }), /^ERR_MESSAGE: spreadMs: 1n is not a whole/],
  [(s) => s['publish']?.('a', 'x', { event: 5 }), /^ERR_MESSAGE: event: 5 is not a string$/],
  [(s) => s['publish']?.('a', 'x', { id: null }), /^ERR_MESSAGE: id: null is not a string$/],
  [(s) => s['publish']?.('a', 'x', { idempotencyKey: 5 }), /idempotencyKey: 5 is not a string/],
  [(s) => s['publish']?.('a', 'x', { policy: 'fast' }), /policy: "fast" is not one of disconnect/],
  [(s) => s['publish']?.('a', 'x', { policy: Symbol('s') }), /policy: Symbol\(s\) is not one of/],
  [(s) => s['publish']?.('a', 'x', { binary: 'yes' }), /binary: "yes" is not true or false/],
  [(s) => s['publish']?.('a', 'x', { history: true }), /^ERR_MESSAGE: history: true is not an obj/],
  [(s) => s['publish']?.('a', 'x', { history: 5 }), /^ERR_MESSAGE: history: 5 is not an object/],
  [(s) => s['publish']?.('a', 'x', { history: { foo: 1 } }), /history: unknown option foo/],
  [(s) => s['publish']?.('a', 'x', { history: { count: 0 } }), /history.count: 0 is not a whole/],
  [(s) => s['publish']?.('a', 'x', 'fast'), /^ERR_MESSAGE: publish: "fast" is not an object/],
  [(s) => s['publish']?.('a', 'x', null), /^ERR_MESSAGE: publish: null is not an object/],
  [(s) => s['publish']?.('a', 5), /^ERR_MESSAGE: data is neither/],
  [(s) => s['publish']?.(5, 'x'), /^ERR_CHANNEL: channel: 5 is not a string$/],
  [(s) => s['deliver']?.(5, 'x'), /^ERR_CHANNEL: channel: 5 is not a string$/],
  [(s) => s['deliver']?.('a', null), /^ERR_MESSAGE: data is neither/],
  [(s) => s['channels']?.({ prefx: 'x' }), /channels: unknown option prefx \(did you mean prefix/],
  [(s) => s['channels']?.({ from: -1 }), /^ERR_OPTION_INVALID: channels: from: -1 is not a whole/],
  [(s) => s['channels']?.({ from: 1.5 }), /channels: from: 1.5 is not a whole number between 0/],
  [(s) => s['channels']?.({ limit: '5' }), /channels: limit: "5" is not a whole number/],
  [(s) => s['channels']?.({ prefix: 5 }), /channels: prefix: 5 is not a string/],
  [(s) => s['channels']?.(null), /^ERR_OPTION_INVALID: channels: null is not an object/],
  [(s) => s['disconnect']?.(), /^ERR_CHANNEL: disconnect: target: undefined is not a channel/],
  [(s) => s['disconnect']?.(null), /^ERR_CHANNEL: disconnect: target: null is not/],
  [(s) => s['disconnect']?.(5), /^ERR_CHANNEL: disconnect: target: 5 is not/],
  [
    (s) => s['disconnect']?.({}),
    /^ERR_OPTION_INVALID: disconnect: exactly one of channel, user, member and all is required$/,
  ],
  [(s) => s['disconnect']?.({ member: 5 }), /disconnect: member: 5 is not a string/],
  [(s) => s['disconnect']?.({ membr: 'x' }), /disconnect: unknown option membr/],
  [(s) => s['disconnect']?.('a', 5), /^ERR_MESSAGE: reason: 5 is not a string$/],
  [(s) => s['presence']?.('a', 1n), /^ERR_OPTION_INVALID: presence: limit: 1n is not a whole/],
  [(s) => s['presence']?.('a', NaN), /presence: limit: NaN is not a whole number between 0/],
  [(s) => s['presence']?.(5), /^ERR_CHANNEL: channel: 5 is not a string$/],
  [(s) => s['adjust']?.({ port: 1 }), /^ERR_OPTION_UNKNOWN: adjust: port cannot change while/],
  [(s) => s['adjust']?.({ heartbeat: 5 }), /adjust: heartbeat cannot change while the server runs/],
  [(s) => s['adjust']?.({ prt: 1 }), /^ERR_OPTION_UNKNOWN: adjust: unknown option prt/],
  [(s) => s['adjust']?.({ maxConnections: 'x' }), /adjust: maxConnections: "x" is not a whole/],
  [(s) => s['adjust']?.(null), /^ERR_OPTION_INVALID: adjust: null is not an object/],
  [(s) => s['close']?.({ drain: 5 }), /^ERR_OPTION_UNKNOWN: close: unknown option drain/],
  [(s) => s['close']?.(null), /^ERR_OPTION_INVALID: close: null is not an object with options/],
];

t.test('each call rejects a wrong argument by name, value and rule', async (t) => {
  const { server } = await startComet(t, { mailboxes: true });
  for (const [call, wanted] of WRONG_CALLS) t.match(await complaint(server, call), wanted);
  const limits = { maxConnections: '100', idleTimeout: undefined };
  server.adjust(limits as unknown as object);
  t.equal(server.stats().maxConnections, 100, 'text of a number is a number afterwards');
});

t.test(
  'no value of any argument ends the process, hangs the call or changes the server',
  async (t) => {
    const { server } = await startComet(t);
    const calls: ((value: unknown) => Call)[] = [
      (value) => (s) => s['publish']?.(value, 'x'),
      (value) => (s) => s['publish']?.('a', value),
      (value) => (s) => s['publish']?.('a', 'x', value),
      ...['id', 'event', 'ttlMs', 'spreadMs', 'history', 'idempotencyKey', 'policy', 'binary'].map(
        (name) =>
          (value: unknown): Call =>
          (s) =>
            s['publish']?.('a', 'x', { [name]: value }),
      ),
      (value) => (s) => s['deliver']?.(value, 'x'),
      (value) => (s) => s['deliver']?.('a', value),
      (value) => (s) => s['channels']?.(value),
      ...['prefix', 'limit', 'from'].map(
        (name) =>
          (value: unknown): Call =>
          (s) =>
            s['channels']?.({ [name]: value }),
      ),
      (value) => (s) => s['disconnect']?.(value),
      (value) => (s) => s['disconnect']?.({ member: value }),
      (value) => (s) => s['disconnect']?.('a', value),
      (value) => (s) => s['presence']?.(value),
      (value) => (s) => s['presence']?.('a', value),
      (value) => (s) => s['adjust']?.(value),
      ...['maxConnections', 'idleTimeout', 'acceptRate'].map(
        (name) =>
          (value: unknown): Call =>
          (s) =>
            s['adjust']?.({ [name]: value }),
      ),
      (value) => (s) => s['close']?.({ drainMs: value }),
    ];
    const before = server.stats();
    for (const [index, call] of calls.entries()) {
      for (const value of ODD_VALUES) {
        const found = await complaint(server, call(value));
        // `binary: true` and an empty proxy are valid somewhere; anything else is an error of ours.
        if (!found.startsWith('returned ')) t.match(found, /^ERR_\w+: .+$/, `call ${index}`);
      }
    }
    t.equal(server.stats().maxConnections, before.maxConnections, 'no limit has changed');
    t.equal(server.readiness().isReady, true, 'the server runs on');
  },
);

const LONG = 'x'.repeat(201);
const many = (count: number): string[] => Array.from({ length: count }, (_, at) => `c${at}`);

/** Calls about users, to a server that reads tokens. */
const WRONG_USER_CALLS: readonly [Call, RegExp][] = [
  [(s) => s['broadcast']?.(5, 'x'), /^ERR_OPTION_INVALID: broadcast: channels: 5 is not a channel/],
  [(s) => s['broadcast']?.([], 'x'), /^ERR_OPTION_INVALID: broadcast: channels: \d+ names are not/],
  [
    (s) => s['broadcast']?.(many(1001), 'x'),
    /^ERR_OPTION_INVALID: broadcast: channels: \d+ names are not/,
  ],
  [(s) => s['broadcast']?.(['a', 5], 'x'), /^ERR_CHANNEL: channel: 5 is not a string$/],
  [(s) => s['broadcast']?.(['a', 'b*'], 'x'), /^ERR_CHANNEL: .*"b\*"/],
  [(s) => s['broadcast']?.(['a'], 5), /^ERR_MESSAGE: data is neither a string nor a Buffer/],
  [
    (s) => s['broadcast']?.(['a'], 'x', { ttl: 5 }),
    /^ERR_OPTION_UNKNOWN: broadcast: unknown option ttl/,
  ],
  [(s) => s['broadcast']?.(['a'], 'x', 'fast'), /^ERR_MESSAGE: broadcast: "fast" is not an object/],
  [(s) => s['broadcast']?.(['a'], 'x', { ttlMs: '5' }), /^ERR_MESSAGE: ttlMs: "5" is not a whole/],
  [
    (s) => s['subscribe']?.(5, 'a'),
    /^ERR_OPTION_INVALID: subscribe: user: 5 is not a text of 1 to/,
  ],
  [(s) => s['subscribe']?.('', 'a'), /subscribe: user: "" is not a text of 1 to 200 bytes$/],
  [(s) => s['subscribe']?.(LONG, 'a'), /subscribe: user: "x+.* is not a text of 1 to 200 bytes$/],
  [(s) => s['subscribe']?.('ada'), /^ERR_OPTION_INVALID: subscribe: channels: undefined is not a/],
  [
    (s) => s['subscribe']?.('ada', []),
    /^ERR_OPTION_INVALID: subscribe: channels: \d+ names are not/,
  ],
  [
    (s) => s['subscribe']?.('ada', many(101)),
    /^ERR_OPTION_INVALID: subscribe: channels: \d+ names are not/,
  ],
  [(s) => s['subscribe']?.('ada', ['a', null]), /^ERR_CHANNEL: channel: null is not a string$/],
  [(s) => s['subscribe']?.('ada', 'a*'), /^ERR_CHANNEL: .*"a\*"/],
  [(s) => s['unsubscribe']?.(null, 'a'), /unsubscribe: user: null is not a text of 1 to 200/],
  [(s) => s['unsubscribe']?.('ada', 5), /unsubscribe: channels: 5 is not a channel or a list/],
  [(s) => s['unsubscribe']?.('ada', ['']), /^ERR_CHANNEL: /],
  [(s) => s['history']?.(5), /^ERR_CHANNEL: channel: 5 is not a string$/],
  [(s) => s['history']?.('a', 5), /^ERR_OPTION_INVALID: history: 5 is not an object with options/],
  [
    (s) => s['history']?.('a', { snce: 'x' }),
    /history: unknown option snce \(did you mean since\?/,
  ],
  [
    (s) => s['history']?.('a', { limit: 0 }),
    /history: limit: 0 is not a whole number between 1 and/,
  ],
  [(s) => s['history']?.('a', { limit: 1001 }), /history: limit: 1001 is not .* and 1000$/],
  [(s) => s['history']?.('a', { since: 5 }), /history: since: 5 is not a string$/],
  [(s) => s['history']?.('a', { since: 'x' }), /^ERR_OPTION_INVALID: .*"x" is not a cursor/],
  [(s) => s['presence']?.(''), /^ERR_CHANNEL: /],
  [(s) => s['presence']?.('a', -1), /presence: limit: -1 is not a whole number between 0 and/],
  [(s) => s['disconnect']?.({ user: 5 }), /disconnect: user: 5 is not a string$/],
  [(s) => s['disconnect']?.({ user: LONG }), /user: "x+.* is not a text of 1 to 200 bytes$/],
  [(s) => s['disconnect']?.({ all: false }), /disconnect: all: false is not true$/],
  [
    (s) => s['disconnect']?.({ user: 'ada', all: true }),
    /^ERR_OPTION_INVALID: disconnect: exactly one of channel, user, member and all is required$/,
  ],
  [
    (s) => s['disconnect']?.({ user: 'ada' }, 'x'.repeat(124)),
    /^ERR_MESSAGE: reason: 124 bytes are more than 123$/,
  ],
  [(s) => s['channels']?.({ pattern: 5 }), /channels: pattern: 5 is not a string$/],
  [(s) => s['revoke']?.(), /^ERR_OPTION_INVALID: revoke: either user or id is required$/],
  [(s) => s['revoke']?.(null), /^ERR_OPTION_INVALID: revoke: null is not an object with options$/],
  [(s) => s['revoke']?.({ usr: 'x' }), /revoke: unknown option usr \(did you mean user\?\)$/],
  [(s) => s['revoke']?.({ user: 'x', id: 'y' }), /revoke: either user or id is required$/],
  [(s) => s['revoke']?.({ user: null }), /revoke: user: null is not a text of 1 to 200 bytes$/],
  [(s) => s['revoke']?.({ id: '' }), /revoke: id: "" is not a text of 1 to 200 bytes$/],
  [(s) => s['revoke']?.({ id: 'x', beforeSeconds: -1 }), /beforeSeconds: -1 is not a whole number/],
  [(s) => s['revoke']?.({ id: 'x', beforeSeconds: null }), /beforeSeconds: null is not a whole/],
  [
    (s) => s['revoke']?.({ id: 'x', keepSeconds: 0 }),
    /keepSeconds: 0 is not a whole number between 1/,
  ],
];

/** Calls without a server, with the path of a secret. */
const wrongKeyCalls = (key: string): readonly [Call, RegExp][] => [
  [() => createToken(5 as never), /^ERR_OPTION_INVALID: createToken: key: a value of type number/],
  [() => createToken('secret'), /^ERR_OPTION_INVALID: key: secret is not ALG=FILE or ALG:KID=FILE/],
  [() => createToken(`HS256=${key}`, null as never), /createToken: null is not an object/],
  [() => createToken(`HS256=${key}`, { usr: 'x' } as never), /createToken: unknown option usr/],
  [
    () => createToken(`HS256=${key}`, { user: '' }),
    /createToken: user: "" is not a text of 1 to 200/,
  ],
  [() => createToken(`HS256=${key}`, { id: 5 as never }), /createToken: id: 5 is not a text/],
  [
    () => createToken(`HS256=${key}`, { channel: LONG }),
    /createToken: channel: "x+.* is not a text/,
  ],
  [() => createToken(`HS256=${key}`, { channels: 'a' as never }), /channels: "a" is not a list of/],
  [
    () => createToken(`HS256=${key}`, { channels: many(129) }),
    /channels: .* is not a list of at most/,
  ],
  [() => createToken(`HS256=${key}`, { grants: { read: [] } as never }), /unknown option read/],
  [
    () => createToken(`HS256=${key}`, { grants: { publish: [''] } }),
    /grants: publish: \[""\] is not/,
  ],
  [
    () => createToken(`HS256=${key}`, { info: 5n }),
    /createToken: info: 5n is not .* bytes of JSON$/,
  ],
  [() => createToken(`HS256=${key}`, { info: circle }), /createToken: info: .* is not at most/],
  [() => createToken(`HS256=${key}`, { info: 'x'.repeat(1023) }), /info: .* is not at most 1024/],
  [
    () => createToken(`HS256=${key}`, { expiresInSeconds: 0 }),
    /expiresInSeconds: 0 is not a whole/,
  ],
  [
    () => signUrl(Buffer.from('k') as never, '/events?channel=a'),
    /key: a value of type object is not/,
  ],
  [() => signUrl(key, 5 as never), /^ERR_OPTION_INVALID: signUrl: url: 5 is not a string$/],
  [() => signUrl(key, '/info?channel=a'), /signUrl: url: "\/info\?channel=a" is not a URL of/],
  [() => signUrl(key, '/events'), /signUrl: url: "\/events" is not a URL of .* with a channel/],
  [() => signUrl(key, '/events?channel=a', { expires: 5 } as never), /unknown option expires/],
  [
    () => signUrl(key, '/events?channel=a', { expiresInSeconds: 1.5 }),
    /^ERR_OPTION_INVALID: signUrl: expiresInSeconds: 1.5 is not a whole number between 1 and/,
  ],
  [
    () => createServer({ protocol: 'comet', authorize: 'x' as never }),
    /^ERR_OPTION_INVALID: createServer: authorize: "x" is not a function$/,
  ],
];

/** Arguments of the same calls. */
const userCalls = (key: string): ((value: unknown) => Call)[] => [
  (value) => (s) => s['broadcast']?.(value, 'x'),
  (value) => (s) => s['broadcast']?.(['a'], value),
  (value) => (s) => s['broadcast']?.(['a'], 'x', value),
  (value) => (s) => s['subscribe']?.(value, 'a'),
  (value) => (s) => s['subscribe']?.('ada', value),
  (value) => (s) => s['unsubscribe']?.(value, 'a'),
  (value) => (s) => s['unsubscribe']?.('ada', value),
  (value) => (s) => s['history']?.(value),
  (value) => (s) => s['history']?.('a', value),
  (value) => (s) => s['history']?.('a', { limit: value }),
  (value) => (s) => s['history']?.('a', { since: value }),
  (value) => (s) => s['disconnect']?.({ user: value }),
  (value) => (s) => s['revoke']?.(value),
  (value) => (s) => s['revoke']?.({ user: value }),
  (value) => (s) => s['revoke']?.({ id: 'x', beforeSeconds: value }),
  (value) => (s) => s['revoke']?.({ id: 'x', keepSeconds: value }),
  (value) => (s) => s['info']?.(value),
  (value) => () => createToken(value as never),
  (value) => () => createToken(`HS256=${key}`, value as never),
  ...['user', 'expiresInSeconds', 'channels', 'grants', 'channel', 'info', 'id', 'audience'].map(
    (name) =>
      (value: unknown): Call =>
      () =>
        createToken(`HS256=${key}`, { [name]: value }),
  ),
  (value) => () => signUrl(value as never, '/events?channel=a'),
  (value) => () => signUrl(key, value as never),
  (value) => () => signUrl(key, '/events?channel=a', value as never),
  (value) => () => signUrl(key, '/events?channel=a', { expiresInSeconds: value } as never),
  (value) => () => void createServer({ protocol: 'comet', authorize: value } as never),
];

t.test('calls about users and keys reject a wrong argument by name, value and rule', async (t) => {
  const secret = new Secret(t);
  const { server } = await startComet(t, { workers: 1, tokenKey: [secret.option] });
  for (const [call, wanted] of [...WRONG_USER_CALLS, ...wrongKeyCalls(secret.path)]) {
    t.match(await complaint(server, call), wanted);
  }
  for (const [index, call] of userCalls(secret.path).entries()) {
    for (const value of ODD_VALUES) {
      const found = await complaint(server, call(value));
      if (!found.startsWith('returned ')) t.match(found, /^ERR_\w+: .+$/, `call ${index}`);
    }
  }
  t.equal(server.readiness().isReady, true, 'the server runs on');
});

t.test('a wrong drainMs changes nothing: the server serves on, and closes later', async (t) => {
  const world = await startComet(t);
  const { server } = world;
  const client = new StreamClient(world, ['a']);
  await client.open();
  const wrong = [Infinity, -1, 2 ** 32, 2 ** 31, 1e10, 5000n, NaN, 'abc', '5000', 0.5, null, {}];
  for (const drainMs of wrong) {
    const found = await complaint(server, (s) => s['close']?.({ drainMs }));
    if (drainMs === null) t.match(found, /close: drainMs: null is not a whole number/);
    else
      t.match(found, /^ERR_OPTION_INVALID: close: drainMs: .* is not a whole number between 0 and/);
  }
  t.match(server.readiness(), { isReady: true, isDraining: false });
  await server.publish('a', 'still here');
  await until('the message', () => client.seen.some(({ data }) => data === 'still here'));
  t.same(await server.close({ drainMs: 0 }), { killed: [] });
});

t.test('a call in the wrong state names the true cause', async (t) => {
  const echo = createServer({ port: 0, workers: 1 });
  t.teardown(() => echo.close());
  const calls: Call[] = [
    (s) => s['publish']?.('a', 'x'),
    (s) => s['deliver']?.('a', 'x'),
    (s) => s['channels']?.(),
    (s) => s['presence']?.('a'),
    (s) => s['disconnect']?.('a'),
  ];
  const wanted = "ERR_NOT_RUNNING: this server speaks echo; give protocol: 'comet'";
  for (const call of calls) t.equal(await complaint(echo, call), wanted);
  const comet = createServer({ port: 0, workers: 1, protocol: 'comet' });
  const early = await complaint(comet, (s) => s['publish']?.('a', 'x'));
  t.match(early, /^ERR_NOT_RUNNING: .* has not started; call listen\(\) first$/);
  t.match(comet.health(), { isDraining: false });
  await comet.close();
  t.match(comet.health(), { isDraining: true });
  t.match(comet.readiness(), { isDraining: true });
  for (const call of calls)
    t.match(await complaint(comet, call), /^ERR_NOT_RUNNING: .* is closed$/);
  const late = await complaint(comet, (s) => s['listen']?.());
  t.equal(late, 'ERR_ALREADY_LISTENING: listen(): the server is closed; create another');
});

t.test('a listener that comes after removeAllListeners() is called', async (t) => {
  const world = await startComet(t);
  world.server.removeAllListeners();
  world.server.removeAllListeners('worker');
  await new Promise(setImmediate);
  const members: string[] = [];
  world.server.on('subscribe', ({ channel }) => members.push(channel));
  await new Promise(setImmediate);
  const client = new StreamClient(world, ['late']);
  await client.open();
  await until('the event', () => members.includes('late'));
  t.pass('the event came');
});
