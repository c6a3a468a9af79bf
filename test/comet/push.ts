// The commands publish, subscribe and kick against a server in its own process.
import { spawn, type ChildProcess } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';

import { follow, retryDelayMs } from '../../lib/cli/subscription.js';
import { bin, Command, run, TestServer, until } from '../support/helpers.js';

const TOKEN = '0123456789-abcdefghij';

class Site {
  constructor(
    readonly server: TestServer,
    readonly env: NodeJS.ProcessEnv,
  ) {}

  static async start(t: Test, args: readonly string[] = []): Promise<Site> {
    const folder = mkdtempSync(join(tmpdir(), 'megacomet-push-'));
    const file = join(folder, 'token');
    writeFileSync(file, `${TOKEN}\n`);
    chmodSync(file, 0o600);
    t.teardown(() => {
      rmSync(folder, { recursive: true });
    });
    const comet = ['--protocol', 'comet', '--host', '127.0.0.1', '--workers', '2'];
    const limits = ['--max-connections', '200', '--admin-token-file', file];
    const server = await TestServer.start(t, { args: [...comet, ...limits, ...args] });
    return new Site(server, { MEGACOMET_ADMIN_TOKEN_FILE: file });
  }

  get url(): string {
    return `http://127.0.0.1:${this.server.port}`;
  }

  /** Runs an admin command to its end. */
  ask(...args: string[]): ReturnType<Command['run']> {
    return run([...args, '--admin', `127.0.0.1:${this.server.adminPort}`], { env: this.env });
  }

  /** Runs an admin command with data on standard input. */
  async pipe(input: Buffer | string, ...args: string[]): Promise<string> {
    const admin = ['--admin', `127.0.0.1:${this.server.adminPort}`];
    const child = spawn(process.execPath, [bin, ...args, ...admin], {
      env: { ...process.env, ...this.env },
    });
    return outputOf(child, input);
  }

  /** Starts a `subscribe` command and waits until the server counts it. */
  async subscribe(...args: string[]): Promise<Command> {
    const before = await this.server.total('subscriptions');
    const command = new Command(['subscribe', this.url, ...args]);
    await until('it to subscribe', async () => {
      return (await this.server.total('subscriptions')) > before;
    });
    return command;
  }
}

async function outputOf(child: ChildProcess, input: Buffer | string): Promise<string> {
  let text = '';
  child.stdout?.on('data', (chunk: Buffer) => (text += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (text += chunk.toString()));
  child.stdin?.end(input);
  await new Promise((resolve) => child.on('close', resolve));
  return text;
}

t.test('subscribe prints what publish sends', async (t) => {
  const site = await Site.start(t);
  const client = await site.subscribe('a', 'news/*', '--count', '5');
  const first = await site.ask('publish', 'a', 'hello');
  t.match(first.stdout, /^[0-9a-f]{16}\.1 to 1 subscriber\n$/);
  t.equal(
    await site.pipe('one\ntwo\n', 'publish', 'news/x', '--lines'),
    '2 published, 0 rejected\n',
  );
  t.match(await site.pipe('from\nstdin', 'publish', 'a'), /\.4 to 1 subscriber\n/);
  t.match(await site.pipe(Buffer.from([255, 0]), 'publish', 'a', '-'), /\.5 to 1/);
  const { code, stdout, stderr } = await client.run();
  t.equal(code, 0);
  t.equal(stdout, 'hello\none\ntwo\nfrom\nstdin\n/wA=\n', 'binary data is printed in base64');
  t.equal(stderr, '');

  const listed = await site.ask('channels', '--prefix', 'news/x', '--json');
  const lines = listed.stdout.trim().split('\n');
  t.match(
    lines.map((line) => JSON.parse(line) as object),
    [{ channel: 'news/x', subscribers: 0, messages: 2 }],
  );
  await site.server.stop();
});

t.test('a disconnected subscriber reconnects and prints the missed messages', async (t) => {
  const site = await Site.start(t);
  const client = await site.subscribe('a', '--count', '3', '--json');
  await site.ask('publish', 'a', '1', '--event', 'goal', '--id', 'x');
  t.match((await site.ask('kick', 'a')).stdout, /^closing 1 subscriber\n/);
  await until('it to be closed', async () => (await site.server.total('subscriptions')) === 0);
  await site.ask('publish', 'a', '2');
  await site.ask('publish', 'a', '3');
  const { code, stdout, stderr } = await client.run();
  t.equal(code, 0);
  const seen = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { data: string });
  t.match(seen[0] ?? {}, { channel: 'a', event: 'goal', id: 'x' });
  t.same(
    seen.map(({ data }) => data),
    ['1', '2', '3'],
  );
  t.match(stderr, /^megacomet-ts: the server closed the stream; reconnecting in \d\.\d s\n$/);
  const again = await site.ask('kick', '--all');
  t.match(again.stdout, /every connection/);
  await site.server.stop();
});

t.test('a gap is reported, and later subscribers start at their cursor', async (t) => {
  const site = await Site.start(t, ['--history-count', '2']);
  const cursors: string[] = [];
  for (const data of ['1', '2', '3', '4']) {
    cursors.push((await site.ask('publish', 'a', data)).stdout.split(' ')[0] ?? '');
  }
  const late = await run(['subscribe', site.url, 'a', '--since', cursors[1] ?? '', '--count', '2']);
  t.equal(late.stdout, '3\n4\n');
  t.equal(late.stderr, '');
  const seen: object[] = [];
  const options = { url: site.url, channels: ['a'], since: cursors[0], silenceMs: 10_000 };
  for await (const event of follow(options)) {
    seen.push(event);
    if (event.type === 'subscribed') break;
  }
  t.match(seen.at(-1), { type: 'subscribed', recovered: false }, 'a gap is reported');
  await site.server.stop();
});

t.test('the same idempotency key publishes once', async (t) => {
  const site = await Site.start(t);
  const one = await site.ask('publish', 'a', 'x', '--idempotency-key', 'k');
  const two = await site.ask('publish', 'a', 'x', '--idempotency-key', 'k');
  t.equal(one.stdout, two.stdout);
  const { messages } = await site.server.stats();
  t.match(messages, {
    messagesPublishedTotal: 1,
    publishesDuplicateTotal: 1,
    apiMessagesTotal: 2,
  });
  await site.server.stop();
});

t.test('each mistake is reported in one sentence', async (t) => {
  const site = await Site.start(t);
  const admin = ['--admin', `127.0.0.1:${site.server.adminPort}`];
  const cases: [args: string[], env: NodeJS.ProcessEnv, code: number, sentence: RegExp][] = [
    [['publish', 'a', 'x', ...admin], {}, 1, /\/publish: missing or invalid admin token/],
    [['publish', 'a', 'x', ...admin], { MEGACOMET_ADMIN_TOKEN: 'short' }, 2, /16 to 512/],
    [['publish', 'a*', 'x', ...admin], site.env, 1, /cannot name a channel/],
    [['publish', 'a', 'x', '--lines', ...admin], site.env, 2, /--lines/],
    [
      ['publish', 'a', '--admin-token', TOKEN],
      {},
      2,
      /unknown option --admin-token \(did you mean --admin-token-file\?\)/,
    ],
    [['publish', 'a', 'x', '--admin-token-file', '/none'], {}, 2, /\/none cannot be read \(ENOENT/],
    [['publish', 'a', 'x', '--admin', '127.0.0.1:1'], site.env, 1, /no admin server answers/],
    [['kick', ...admin], site.env, 2, /a channel, --user or --all/],
    [['kick', 'a', '--all', ...admin], site.env, 2, /a channel, --user or --all/],
    [['channels', ...admin], {}, 1, /\/channels: missing or invalid admin token/],
    [['subscribe', 'nonsense', 'a'], {}, 2, /"nonsense" is not an address/],
    [['subscribe', site.url, 'a*b'], {}, 1, /the server answered 400/],
  ];
  for (const [args, env, code, sentence] of cases) {
    const result = await run(args, { env });
    t.equal(result.code, code, args.join(' '));
    t.match(result.stderr, sentence);
    t.equal(result.stderr.trim().split('\n').length, 1, 'one line');
    t.notMatch(result.stderr, /short|0123456789/, 'no token is shown');
  }
  await site.server.stop();
});

t.test('without a token no client may publish over HTTP', async (t) => {
  const server = await TestServer.start(t, {
    args: ['--protocol', 'comet'],
    env: { XDG_STATE_HOME: '/proc/none' },
    expectLog: [/^no admin token, because no file can hold it \(/],
  });
  const admin = `http://127.0.0.1:${server.adminPort}`;
  const answer = await fetch(`${admin}/publish`, { method: 'POST', body: '{}' });
  t.equal(answer.status, 403);
  t.match(await answer.json(), { error: /no admin token/ });
  await server.stop();
});

t.test('clients that lost their server do not reconnect together', (t) => {
  for (const failures of [0, 1, 5, 100, 1e9]) {
    const earliest = retryDelayMs(failures, () => 0);
    const latest = retryDelayMs(failures, () => 1);
    t.equal(latest, 2 * earliest);
    t.ok(earliest >= 250 && latest <= 30_000, `after ${failures} failures`);
  }
  t.end();
});
