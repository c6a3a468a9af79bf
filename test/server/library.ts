// The library inside a program of its own: options, life cycle, events, and the state of the process that it leaves alone.
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';

import t, { type Test } from 'tap';

import { isGone, root } from '../support/helpers.js';

const entry = pathToFileURL(join(root, 'dist/lib/index.js')).href;

interface Run {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program that uses the library, to its own end, and answers the JSON that it printed. */
async function runProgram(t: Test, body: string): Promise<unknown> {
  const file = join(t.testdir(), 'app.mjs');
  writeFileSync(
    file,
    `import { createServer, MegacometError } from ${JSON.stringify(entry)};
     import { connect } from 'node:net';
     import { readFileSync } from 'node:fs';
     const print = (value) => console.log(JSON.stringify(value));
     const client = (port) => new Promise((resolve, reject) => {
       const socket = connect(port, '127.0.0.1', () => resolve(socket)).on('error', reject);
     });
     const echo = (socket, text) => new Promise((resolve) => {
       socket.once('data', (bytes) => resolve(bytes.toString()));
       socket.write(text);
     });
     const portOf = (server) => Number(/:(\\d+)$/.exec(server.addresses[0])[1]);
     const codeOf = async (action) => {
       try { await action(); return null; } catch (error) {
         return error instanceof MegacometError ? [error.code, error.message] : String(error);
       }
     };
     ${body}`,
  );
  const { code, stdout, stderr } = await promisify(execFile)(process.execPath, [file], {
    timeout: 20_000,
    killSignal: 'SIGKILL',
  }).then(
    (done): Run => ({ code: 0, ...done }),
    (failed: unknown) => failed as Run,
  );
  t.equal(stderr, '', 'nothing on standard error');
  t.equal(code, 0, 'the program ends by itself');
  return JSON.parse(stdout) as unknown;
}

t.test('two servers live in one process, and it ends after close()', async (t) => {
  const found = await runProgram(
    t,
    `const { title } = process;
     const servers = [1, 2].map((workers) => createServer({ port: 0, workers }));
     await Promise.all(servers.map((server) => server.listen()));
     const sockets = await Promise.all(servers.map((server) => client(portOf(server))));
     const answers = await Promise.all(sockets.map((socket, at) => echo(socket, 'hello' + at)));
     const stats = servers.map((server) => server.stats());
     const signals = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR2', 'SIGPIPE', 'SIGCHLD'];
     const handlers = signals.reduce((sum, name) => sum + process.listenerCount(name), 0);
     const hasTitle = process.title !== title;
     const reports = await Promise.all(servers.map((server) => server.close()));
     print({
       answers, reports, handlers, hasTitle,
       ports: new Set(servers.map(portOf)).size,
       connections: stats.map(({ totals }) => totals.connections),
       workers: stats.map(({ workers }) => workers.length),
       pids: stats.flatMap(({ workers }) => workers.map(({ pid }) => pid)),
     });`,
  );
  const { pids, ...others } = found as { pids: number[] };
  t.same(others, {
    answers: ['hello0', 'hello1'],
    reports: [{ killed: [] }, { killed: [] }],
    handlers: 0,
    hasTitle: false,
    ports: 2,
    connections: [1, 1],
    workers: [1, 2],
  });
  t.ok(pids.every(isGone), 'no worker is left');
});

t.test('options are checked when the server is made', async (t) => {
  const found = await runProgram(
    t,
    `const made = (options) => codeOf(() => createServer(options));
     print([
       await made({ prot: 1 }),
       await made({ maxConections: 1 }),
       await made({ drain: 1 }),
       await made({ port: -1 }),
       await made({ port: 1.5 }),
       await made({ workers: '0' }),
       await made({ listen: [''] }),
       await made({ listen: [], origin: [] }),
       await made({ listen: [], origin: ['*'] }),
       await made({ host: '' }),
       await made({ port: 0, workers: 'auto', adminPort: undefined }),
     ]);`,
  );
  t.match(found, [
    ['ERR_OPTION_UNKNOWN', 'createServer: unknown option prot (did you mean protocol?)'],
    ['ERR_OPTION_UNKNOWN', /unknown option maxConections \(did you mean maxConnections\?\)/],
    ['ERR_OPTION_UNKNOWN', /unknown option drain/],
    ['ERR_OPTION_INVALID', 'createServer: port: -1 is not between 0 and 65535'],
    ['ERR_OPTION_INVALID', /port: 1.5 is not a port or a range of ports between 0 and 65535/],
    ['ERR_OPTION_INVALID', /workers: 0 is not between 1 and 512, or auto/],
    ['ERR_OPTION_INVALID', /listen: \[""\] is not a list/],
    null,
    ['ERR_OPTION_INVALID', /origin: .*needs --protocol comet/],
    ['ERR_OPTION_INVALID', /host: "" is not a numeric address/],
    null,
  ]);
});

t.test('calls at the wrong time are rejected by name', async (t) => {
  const found = await runProgram(
    t,
    `const server = createServer({ port: 0, workers: 1 });
     const early = [
       await codeOf(() => server.stats()),
       await codeOf(() => server.adjust({ idleTimeout: 1 })),
     ];
     const first = server.listen();
     const twice = await codeOf(() => server.listen());
     await first;
     const thrice = await codeOf(() => server.listen());
     const reports = await Promise.all([server.close(), server.close({ drainMs: 60000 })]);
     print({
       early, twice, thrice, reports,
       late: [await codeOf(() => server.stats()), await codeOf(() => server.listen())],
       unstarted: await createServer().close(),
     });`,
  );
  t.match(found, {
    early: [['ERR_NOT_RUNNING'], ['ERR_NOT_RUNNING']],
    twice: ['ERR_ALREADY_LISTENING'],
    thrice: ['ERR_ALREADY_LISTENING'],
    reports: [{ killed: [] }, { killed: [] }],
    late: [['ERR_NOT_RUNNING'], ['ERR_ALREADY_LISTENING']],
    unstarted: { killed: [] },
  });
});

t.test('listen() in a thread is rejected: workers would outlive the thread', async (t) => {
  const found = await runProgram(
    t,
    `import { Worker, isMainThread, parentPort } from 'node:worker_threads';
     if (isMainThread) {
       const thread = new Worker(new URL(import.meta.url));
       print(await new Promise((resolve) => thread.once('message', resolve)));
     } else {
       const server = createServer({ port: 0, workers: 1 });
       parentPort.postMessage(await codeOf(() => server.listen()));
     }`,
  );
  t.match(found, ['ERR_RUNTIME', /^listen\(\) works in the main thread only/]);
});

t.test('worker events tell of starts, deaths and ends', async (t) => {
  const found = await runProgram(
    t,
    `const lines = [];
     const log = (fields, message) => lines.push(message);
     const logger = { debug: log, info: log, warn: log, error: log };
     const server = createServer({ port: 0, workers: 2, logger });
     const events = [];
     server.on('worker', (event) => events.push(event));
     await server.listen();
     const pid = server.stats().workers[0].pid;
     process.kill(pid, 'SIGKILL');
     await new Promise((resolve) => {
       server.on('worker', ({ slot, state }) => {
         if (slot === 0 && state === 'ready') resolve();
       });
     });
     await server.close();
     print({ pid, lines, events: events.filter(({ slot }) => slot === 0) });`,
  );
  const { pid, lines, events } = found as { pid: number; lines: string[]; events: object[] };
  t.match(events, [
    { state: 'started', pid },
    { state: 'ready', pid },
    { state: 'exited', pid, code: null, signal: 'SIGKILL' },
    { state: 'started' },
    { state: 'ready' },
    { state: 'exited', code: 0, signal: null },
  ]);
  t.ok(lines.includes('worker died'), 'the given logger is used');
});

t.test('adjust() changes limits, up to those that the server was started with', async (t) => {
  const found = await runProgram(
    t,
    `const server = createServer({ port: 0, workers: 1, maxConnections: 3 });
     await server.listen();
     const kept = [await client(portOf(server)), await client(portOf(server))];
     await Promise.all(kept.map((socket) => echo(socket, 'x')));
     server.adjust({ maxConnections: 2 });
     const reset = await new Promise((resolve) => {
       const tryOnce = async () => {
         const socket = await client(portOf(server)).catch(() => null);
         if (socket === null) return resolve(true);
         socket.on('error', () => undefined).on('close', () => resolve(true));
         const answer = await echo(socket, 'x');
         if (answer) { socket.destroy(); setTimeout(tryOnce, 20); }
       };
       void tryOnce();
     });
     const stats = server.stats();
     const bad = [
       await codeOf(() => server.adjust({ maxConnections: 4 })),
       await codeOf(() => server.adjust({ idleTimeout: -1 })),
       await codeOf(() => server.adjust({ idelTimeout: 1 })),
     ];
     server.adjust({ idleTimeout: 1 });
     await Promise.all(kept.map((socket) => new Promise((resolve) => {
       socket.resume().on('close', resolve).on('error', resolve);
     })));
     await server.close();
     print({ reset, most: stats.maxConnections, rejected: stats.totals.rejectedTotal >= 0, bad });`,
  );
  t.match(found, {
    reset: true,
    most: 2,
    bad: [
      ['ERR_OPTION_INVALID', /max-connections: 4 is more than the 3 connections/],
      ['ERR_OPTION_INVALID', /idleTimeout: -1/],
      ['ERR_OPTION_UNKNOWN', /unknown option idelTimeout \(did you mean idleTimeout\?\)/],
    ],
  });
});

t.test('close({ drainMs }) takes its time, and close() none', async (t) => {
  const found = await runProgram(
    t,
    `const times = [];
     for (const options of [{ drainMs: 2000 }, {}]) {
       const server = createServer({ port: 0, workers: 2 });
       await server.listen();
       const sockets = await Promise.all(Array.from({ length: 50 }, () => client(portOf(server))));
       for (const socket of sockets) socket.resume();
       const startedAt = performance.now();
       const report = await server.close(options);
       times.push([performance.now() - startedAt, report]);
     }
     print(times);`,
  );
  const [[slow, report] = [], [fast] = []] = found as [number, object][];
  t.ok(Number(slow) >= 1950, `the first takes ${Number(slow).toFixed(0)} ms`);
  t.ok(Number(fast) < Number(slow), `the second takes ${Number(fast).toFixed(0)} ms`);
  t.same(report, { killed: [] }, 'no worker had to be killed');
});

t.test('a listen() that fails leaves nothing open', async (t) => {
  const found = await runProgram(
    t,
    `import { createServer as createNet } from 'node:net';
     const taken = createNet();
     await new Promise((resolve) => taken.listen(0, '127.0.0.1', resolve));
     const adminPort = taken.address().port;
     const free = createNet();
     const port = await new Promise((resolve) => {
       free.listen(0, '127.0.0.1', () => resolve(free.address().port));
     });
     await new Promise((resolve) => free.close(resolve));
     const host = '127.0.0.1';
     const failure = await codeOf(() => createServer({ host, port, adminPort }).listen());
     const again = createServer({ host, port, workers: 1 });
     await again.listen();
     const answer = await echo(await client(port), 'y').then(String);
     const busy = await codeOf(() => createServer({ host, port }).listen());
     const abandoned = createServer({ port: 0, workers: 4 });
     const started = codeOf(() => abandoned.listen());
     await new Promise((resolve) => setTimeout(resolve, 20));
     const report = await abandoned.close();
     await again.close();
     taken.close();
     print({ failure, answer, busy, report, started: await started });`,
  );
  t.match(found, {
    failure: ['ERR_ADMIN_LISTEN', /EADDRINUSE/],
    answer: 'y',
    busy: ['ERR_LISTEN', /another program listens there/],
    report: { killed: [] },
    started: ['ERR_NOT_RUNNING', /closed while it was starting/],
  });
});

t.test('importing the package starts nothing', async (t) => {
  const found = await runProgram(
    t,
    `print({
       handlers: process.eventNames().filter((name) => /^SIG|^un/.test(String(name))),
       exports: Object.keys(await import(${JSON.stringify(entry)})).sort(),
     });`,
  );
  t.same(found, {
    handlers: [],
    exports: ['MegacometError', 'createServer', 'createToken', 'signUrl'],
  });
  const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    exports: Record<string, unknown>;
  };
  t.same(Object.keys(exports), ['.', './package.json'], 'nothing else can be imported');
});

t.test('a listener that throws takes nothing from the others, and no worker', async (t) => {
  const found = await runProgram(
    t,
    `import WebSocket from 'ws';
     const thrown = [];
     process.on('uncaughtException', (error) => thrown.push(error.message));
     const server = createServer({
       host: '127.0.0.1', port: 0, workers: 1, maxConnections: 100,
       protocol: 'comet', clientPublish: true,
     });
     const seen = [];
     const states = [];
     server.on('message', ({ data }) => {
       seen.push(data.toString());
       throw new RangeError(data.toString());
     });
     await server.listen();
     server.on('worker', ({ state }) => states.push(state));
     const socket = new WebSocket('ws://127.0.0.1:' + portOf(server) + '/ws');
     await new Promise((resolve) => socket.on('open', resolve));
     for (const data of ['a', 'b', 'c', 'd']) {
       socket.send(JSON.stringify({ type: 'publish', channel: 'x', data }));
     }
     await new Promise((resolve) => setTimeout(resolve, 1000));
     print({ seen, thrown, states });
     socket.terminate();
     await server.close();`,
  );
  t.same(found, { seen: ['a', 'b', 'c', 'd'], thrown: ['a', 'b', 'c', 'd'], states: [] });
});
