// The manners of the commands: help, output that closes or cannot be written, colours, time limits,
// and sentences for servers of another kind.
import { spawn } from 'node:child_process';
import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { dirname, join } from 'node:path';
import t from 'tap';

import { reasonOf } from '../../lib/base/reason.js';
import { columnsOf, movesCursor, showsColours } from '../../lib/base/terminal.js';
import { formatMessage } from '../../lib/cli/commands/subscribe.js';
import { stableNodePath } from '../../lib/cli/node-path.js';
import { Output } from '../../lib/cli/output.js';
import { formatProgress, ProgressLine } from '../../lib/cli/progress.js';
import { retryAfterMs } from '../../lib/cli/subscription.js';
import { bin, Command, run, TestServer, until, type Test } from '../support/helpers.js';

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a line of a shell in which `megacomet` is the program. */
function shell(line: string, env: NodeJS.ProcessEnv = {}): Promise<Ended> {
  const script = `megacomet() { "${process.execPath}" "${bin}" "$@"; }\n${line}`;
  const child = spawn('bash', ['-c', script], {
    env: { ...process.env, ...env },
  });
  const seen = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk: Buffer) => (seen.stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (seen.stderr += chunk.toString()));
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, ...seen })));
}

const TOKEN = '0123456789-abcdefghij';
const ENV = { MEGACOMET_ADMIN_TOKEN: TOKEN };

async function startComet(t: Test): Promise<TestServer> {
  const args = ['--protocol', 'comet', '--host', '127.0.0.1', '--workers', '1'];
  return TestServer.start(t, { args, env: ENV });
}

/** Listens on a free port until the end of the test. */
async function listen(t: Test, server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => void server.close());
  return (server.address() as AddressInfo).port;
}

t.test('without a command, and for an unknown one, the help is on standard error', async (t) => {
  for (const args of [[], ['help', 'nosuch']]) {
    const { code, stdout, stderr } = await run(args);
    t.equal(code, 2, args.join(' '));
    t.equal(stdout, '');
    t.match(stderr, /^Usage: megacomet-ts [^]*\n {2}serve /);
  }
  t.match((await run(['help', 'nosuch'])).stderr, /unknown command nosuch\n$/);
  const help = await run(['help']);
  t.match(help, { code: 0, stderr: '' });
  t.match(help.stdout, /^Usage: /, 'asked for, it is on standard output');
});

t.test('output that cannot be written is an error in words', async (t) => {
  const server = await startComet(t);
  const admin = `--admin 127.0.0.1:${server.adminPort}`;
  const url = `http://127.0.0.1:${server.port}`;
  const published = await shell(`megacomet publish b x ${admin}`, ENV);
  const [cursor = ''] = published.stdout.split(' ');
  await shell(`megacomet publish b y ${admin}`, ENV);
  const lines = [
    'megacomet plan',
    'megacomet plan --json',
    'megacomet --version',
    'megacomet --help',
    'megacomet help',
    'megacomet doctor',
    `megacomet status ${admin}`,
    `megacomet status ${admin} --json`,
    `megacomet status ${admin} --watch`,
    `megacomet channels ${admin}`,
    `megacomet publish a x ${admin}`,
    `megacomet kick a ${admin}`,
    `megacomet subscribe ${url} b --since ${cursor} --count 1`,
    `megacomet bench --target 127.0.0.1:${server.port} --connections 1 --admin 127.0.0.1:1`,
  ];
  for (const line of lines) {
    const { code, stderr } = await shell(`${line} > /dev/full`, ENV);
    t.equal(code, 1, line);
    const sentence =
      /^megacomet-ts: standard output cannot be written: no space left on the device$/m;
    t.match(stderr, sentence, line);
    t.notMatch(stderr, / at .*\.js:/, 'no stack trace');
  }
  await server.stop();
});

t.test('--json=false and --no-json print text, --json=true prints JSON', async (t) => {
  for (const [flag, isJson] of [
    ['--json=false', false],
    ['--no-json', false],
    ['--json=true', true],
    ['--json', true],
  ] as const) {
    const { code, stdout } = await run(['plan', '--target', '1000', flag]);
    t.equal(code, 0, flag);
    t.equal(stdout.startsWith('{'), isJson, flag);
  }
});

t.test('a reader that leaves ends a command quietly', async (t) => {
  const server = await startComet(t);
  const admin = `--admin 127.0.0.1:${server.adminPort}`;
  const url = `http://127.0.0.1:${server.port}`;
  const loop = `while megacomet publish a x ${admin} > /dev/null; do :; done & publisher=$!`;
  const subscribed = await shell(
    `${loop}; megacomet subscribe ${url} a | head -1; echo "\${PIPESTATUS[0]}"; kill $publisher`,
    ENV,
  );
  t.match(subscribed, { stdout: 'x\n0\n', stderr: '' }, 'subscribe');
  for (const line of [`status ${admin} --watch`, 'plan', 'doctor', '--help', `channels ${admin}`]) {
    const seen = await shell(`megacomet ${line} 2>&1 > >(head -1 > /dev/null); true`, ENV);
    t.match(seen, { stdout: '', stderr: '' }, line);
  }
  await server.stop();
});

t.test('status --watch prints JSON lines, and goes on while the server is away', async (t) => {
  const server = await startComet(t);
  const admin = ['--admin', `127.0.0.1:${server.adminPort}`];
  const json = new Command(['status', '--watch', '--json', ...admin]);
  const text = new Command(['status', '--watch', ...admin]);
  const lines = (): unknown[] =>
    json.stdout
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as unknown);
  await until('two answers', () => lines().length > 1 && text.stdout.includes('slot'));
  await server.stop();
  await until('both to notice', () => {
    return text.stdout.includes('no answer: ') && json.stdout.includes('"error"');
  });
  t.match(lines().at(-1), { error: /connection refused/ });
  // eslint-disable-next-line no-control-regex
  t.notMatch(text.stdout + json.stdout, /\u001b/, 'no cursor codes outside a terminal');
  for (const command of [json, text]) {
    command.child.kill('SIGTERM');
    await command.run();
  }
});

t.test('colours and cursor codes follow the terminal and the environment', (t) => {
  const terminal = { isTTY: true };
  const pipe = { isTTY: false };
  const cases: [NodeJS.ProcessEnv, onTerminal: boolean, onPipe: boolean][] = [
    [{}, true, false],
    [{ NO_COLOR: '1' }, false, false],
    [{ NO_COLOR: '' }, true, false],
    [{ TERM: 'dumb' }, false, false],
    [{ FORCE_COLOR: '0' }, false, false],
    [{ FORCE_COLOR: 'false' }, false, false],
    [{ FORCE_COLOR: '1' }, true, true],
    [{ FORCE_COLOR: '1', NO_COLOR: '1' }, false, false],
  ];
  for (const [env, onTerminal, onPipe] of cases) {
    t.equal(showsColours(terminal, env), onTerminal, JSON.stringify(env));
    t.equal(showsColours(pipe, env), onPipe, `${JSON.stringify(env)}, pipe`);
  }
  t.equal(movesCursor(terminal, { TERM: 'dumb' }), false);
  t.equal(movesCursor(terminal, { NO_COLOR: '1' }), true, 'a cursor is not a colour');
  t.equal(columnsOf({ isTTY: true, columns: 0 }), 80, 'a terminal without a size');
  t.end();
});

/** A stream that keeps its input. */
function sink(shape: object): { text: string; stream: ConstructorParameters<typeof Output>[0] } {
  const kept = { text: '' };
  const stream = Object.assign(
    {
      write(text: string, done?: () => void): boolean {
        kept.text += text;
        done?.();
        return true;
      },
      on: () => undefined,
    },
    shape,
  );
  return Object.assign(kept, { stream: stream as never });
}

t.test('a block replaces the one before on a terminal, and follows it elsewhere', async (t) => {
  const terminal = sink({ isTTY: true, columns: 10, rows: 4 });
  const live = new Output(terminal.stream, {});
  await live.redraw('one\ntwo');
  await live.redraw('0123456789abc\n2\n3\n4\n5');
  const up = '\u001b[2K\u001b[1A'.repeat(2);
  t.equal(
    terminal.text,
    `\u001b[?25lone\ntwo\n${up}\u001b[2K\r0123456789\n2\n3\n`,
    'cut to the screen',
  );
  live.release();
  t.ok(terminal.text.endsWith('\u001b[?25h'), 'the cursor is shown again');
  for (const [shape, env] of [
    [{}, {}],
    [{ isTTY: true }, { TERM: 'dumb' }],
  ] as const) {
    const file = sink(shape);
    const plain = new Output(file.stream, env);
    await plain.redraw('one');
    await plain.redraw('two');
    t.equal(file.text, 'one\n\ntwo\n', 'plain blocks');
  }
});

t.test('progress is a short line, numbers first', (t) => {
  const open = { phase: 'open', done: 0, total: 2000, failed: 0, perSecond: 0 } as const;
  t.equal(formatProgress(open, 1), 'open 0/2,000 connections, - s left, 0/s, 0 failed');
  t.equal(
    formatProgress({ ...open, done: 500, perSecond: 250 }, 2),
    'open 500/2,000 connections, 6 s left, 250/s, 0 failed',
  );
  t.match(formatProgress({ ...open, total: 1 }, 0), '0/1 connection,');
  t.match(formatProgress({ ...open, phase: 'hold', done: 0, total: 5 }, 0), '5 s left');
  for (const perSecond of [NaN, Infinity]) {
    t.notMatch(formatProgress({ ...open, perSecond }, 0), /NULL|INF|NaN|∞/i);
  }
  const narrow = sink({ isTTY: true, columns: 40 });
  new ProgressLine(narrow.stream, {}).show({ ...open, done: 500, perSecond: 250 });
  t.equal(narrow.text, '\r\u001b[Kopen 500/2,000 connections, 0 s left, 2');
  const wide = sink({ isTTY: true, columns: 120 });
  new ProgressLine(wide.stream, {}).show({ ...open, done: 1000 });
  t.match(wide.text, / failed █{12}░{12}$/, 'the bar is last');
  const file = sink({});
  const line = new ProgressLine(file.stream, {});
  line.show(open);
  line.show({ ...open, done: 1000 });
  line.stop();
  t.match(file.text, /^open 0\/2,000 [^\n█░]*\nopen 1,000\/2,000 [^\n█░]*\n$/, 'plain lines');
  t.end();
});

t.test('a service runs Node.js from a path without a version, or warns', (t) => {
  const folder = t.testdir({
    'node-v20.1.2': { bin: { node: '' } },
    current: t.fixture('symlink', 'node-v20.1.2'),
  });
  // Only the part below the test folder counts: its own name can have digits.
  const program = join(folder, 'node-v20.1.2/bin/node');
  const link = join(folder, 'current/bin/node');
  const found = stableNodePath(program, `/nowhere:${dirname(program)}:${dirname(link)}`);
  t.same(found, { file: link, warning: null });
  const alone = stableNodePath(program, '/nowhere');
  t.equal(alone.file, program);
  t.match(alone.warning, /has a version in its path/);
  t.same(stableNodePath('/usr/bin/node', ''), { file: '/usr/bin/node', warning: null });
  t.end();
});

t.test('codes of errors are words', (t) => {
  const coded = (code: string): Error => Object.assign(new Error(`x ${code}`), { code });
  for (const code of ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EPROTO', 'HPE_INVALID_CONSTANT']) {
    t.notMatch(reasonOf(coded(code)), /[A-Z]{5}|x /, code);
  }
  const both = new AggregateError([coded('ECONNREFUSED'), coded('EACCES')]);
  t.match(reasonOf(both), /connection refused/, 'of several addresses');
  t.equal(reasonOf(new Error('other')), 'other');
  t.end();
});

t.test('a message cannot move the cursor of a terminal', (t) => {
  const message = { channel: 'a', cursor: 'c', data: 'x\u001b[2J\u0007\ty\nz\u009b', event: 'e' };
  const form = { isJson: false, isVerbose: false, isTerminal: true };
  t.equal(formatMessage(message, form), 'x\\x1b[2J\\x07\ty\nz\\x9b');
  t.equal(formatMessage(message, { ...form, isTerminal: false }), message.data, 'a file has all');
  t.match(formatMessage(message, { ...form, isVerbose: true }), /^a event=e: x/);
  t.end();
});

t.test('Retry-After is a number of seconds or a date', (t) => {
  t.equal(retryAfterMs('7'), 7000);
  t.equal(retryAfterMs('Sun, 06 Nov 1994 08:49:37 GMT', Date.UTC(1994, 10, 6, 8, 49, 30)), 7000);
  for (const text of [undefined, '-1', 'soon', '']) t.equal(retryAfterMs(text), 0, String(text));
  t.equal(retryAfterMs('999999999'), 3_600_000, 'at most an hour');
  t.end();
});

const ANSWERS: [name: string, answer: RequestListener, sentence: RegExp][] = [
  [
    'a redirect',
    (_, response) => response.writeHead(301, { Location: 'https://there.example/' }).end(),
    /answered 301 Moved Permanently: subscribe to https:\/\/there\.example\/$/m,
  ],
  [
    'a web page',
    (_, response) => response.setHeader('Content-Type', 'text/html').end('<p>'),
    /answered 200 OK with text\/html: this is not a comet server$/m,
  ],
  [
    'no content',
    (_, response) => response.writeHead(204).end(),
    /answered 204 No Content with no content type: this is not a comet server$/m,
  ],
  [
    'Server-Sent Events',
    (_, response) => response.setHeader('Content-Type', 'text/event-stream').end(':\n\n'),
    /with text\/event-stream: this is not a comet server$/m,
  ],
  [
    'lines that are not JSON',
    (_, response) => response.setHeader('Content-Type', 'application/x-ndjson').end('hello\n'),
    /a line that is not JSON: this is not a comet server$/m,
  ],
  [
    'a sentence',
    (_, response) => response.writeHead(403).end('{"error":"not you"}'),
    /answered 403 Forbidden: not you$/m,
  ],
];

t.test('subscribe ends after the first try where a retry cannot help', async (t) => {
  for (const [name, answer, sentence] of ANSWERS) {
    let requests = 0;
    const server = createHttpServer((request, response) => {
      requests++;
      answer(request, response);
    });
    const port = await listen(t, server);
    const { code, stderr } = await run(['subscribe', `http://127.0.0.1:${port}`, 'a']);
    t.equal(code, 1, name);
    t.match(stderr, sentence, name);
    t.equal(requests, 1, `${name}: one request`);
    t.equal(stderr.trim().split('\n').length, 1, 'one line');
  }
  const echo = createServer((socket) => socket.pipe(socket).on('error', () => undefined));
  const port = await listen(t, echo);
  for (const [url, sentence] of [
    [`http://127.0.0.1:${port}`, /the answer is not HTTP: this is not a comet server/],
    [`https://127.0.0.1:${port}`, /does not speak TLS: use http:\/\//],
    ['http://nosuch.invalid', /nosuch\.invalid: the (host name is unknown|name server)/],
  ] as const) {
    const { code, stderr } = await run(['subscribe', url, 'a']);
    t.equal(code, 1, url);
    t.match(stderr, sentence, url);
  }
  const comet = await startComet(t);
  const bad = await run(['subscribe', `http://127.0.0.1:${comet.port}`, 'a', '--since', 'foo']);
  t.match(bad.stderr, /answered 400 Bad Request: .*since/, "the server's own sentence");
  await comet.stop();
});

t.test('subscribe keeps to Retry-After, and says when nothing was heard', async (t) => {
  const busy = createHttpServer((_, response) => {
    response.writeHead(503, { 'Retry-After': '77' }).end('{"error":"full"}');
  });
  const url = `http://127.0.0.1:${await listen(t, busy)}`;
  const client = new Command(['subscribe', url, 'a']);
  await until('the answer', () => client.stderr.includes('\n'));
  t.match(client.stderr, /answered 503 Service Unavailable: full; reconnecting in 77\.0 s/);
  client.child.kill('SIGTERM');
  await client.run();
  const silent = createHttpServer((_, response) => {
    response.setHeader('Content-Type', 'application/x-ndjson').write('\n');
  });
  const quiet = `http://127.0.0.1:${await listen(t, silent)}`;
  const listener = new Command(['subscribe', quiet, 'a', '--silence', '1']);
  await until('the silence', () => listener.stderr.includes('\n'));
  t.match(listener.stderr, /nothing was heard for 1 s; reconnecting/);
  listener.child.kill('SIGTERM');
  await listener.run();
  silent.closeAllConnections();
});

t.test('commands of an admin server give up after five seconds', async (t) => {
  const mute = createServer(() => undefined);
  const admin = ['--admin', `127.0.0.1:${await listen(t, mute)}`];
  const runs = [['publish', 'a', 'b'], ['kick', 'a'], ['channels'], ['status']].map((args) =>
    run([...args, ...admin], { env: ENV }),
  );
  for (const { code, stderr } of await Promise.all(runs)) {
    t.equal(code, 1);
    t.match(stderr, /no admin server answers at .* \(no answer in time\)\n$/);
  }
});

t.test('commands name a server of another kind', async (t) => {
  const echo = await TestServer.start(t);
  const comet = await startComet(t);
  for (const args of [['publish', 'a', 'b'], ['kick', 'a'], ['channels']]) {
    const at = (port: number): string[] => [...args, '--admin', `127.0.0.1:${port}`];
    const wrongProtocol = await run(at(echo.adminPort), { env: ENV });
    t.equal(wrongProtocol.code, 1);
    t.match(
      wrongProtocol.stderr,
      /this server speaks echo; .*--protocol comet\n$/,
      String(args[0]),
    );
    const publicPort = await run(at(comet.port), { env: ENV });
    t.equal(publicPort.code, 1);
    t.match(publicPort.stderr, /is not an admin server; is it the public port\?/, String(args[0]));
  }
  const { stderr } = await run(['status', '--admin', `127.0.0.1:${comet.port}`]);
  t.match(stderr, /is not an admin server; is it the public port\?/);
  await echo.stop();
  await comet.stop();
});

t.test('publish --chomp removes the line end of standard input', async (t) => {
  const server = await startComet(t);
  const client = new Command([
    ...['subscribe', `http://127.0.0.1:${server.port}`, 'a', 'b'],
    ...['--count', '4', '--json'],
  ]);
  await until('it to subscribe', async () => (await server.total('subscriptions')) > 0);
  const admin = `--admin 127.0.0.1:${server.adminPort}`;
  for (const line of [
    `echo hi | megacomet publish a --chomp ${admin}`,
    `printf 'hi\\r\\n' | megacomet publish a --chomp ${admin}`,
    `echo hi | megacomet publish b ${admin}`,
    `megacomet publish b -5 ${admin}`,
  ]) {
    t.match((await shell(line, ENV)).stdout, / to 1 subscriber\n$/, 'singular');
  }
  await client.ended;
  const data = client.stdout
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { data: string }).data);
  t.same(data, ['hi', 'hi', 'hi\n', '-5'], 'a negative number is data');
  await client.run();
  await server.stop();
});
