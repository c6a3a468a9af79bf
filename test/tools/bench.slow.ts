// `megacomet-ts bench` against real servers, correct and faulty ones.
import t from 'tap';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';

import type { BenchResult } from '../../lib/bench/bench-result.js';
import { startComet } from '../support/comet-world.js';
import { reconnectSubscribers } from '../support/reconnecting-bench.js';
import { Command, freePort, run, TestServer, until, type Test } from '../support/helpers.js';

interface Outcome {
  readonly code: number | null;
  readonly result: BenchResult;
}

/** Runs the bench with the result on standard output. */
async function bench(port: number, ...args: string[]): Promise<Outcome> {
  const target = ['--target', `127.0.0.1:${port}`, '--json', '-', '--admin', '127.0.0.1:1'];
  const { code, stdout, stderr } = await run(['bench', ...target, ...args]);
  if (stdout === '') throw new Error(stderr);
  return { code, result: JSON.parse(stdout) as BenchResult };
}

t.test('a server whose metrics need a token is measured with it', async (t) => {
  const folder = t.testdir({});
  const tokens = Object.fromEntries(
    ['metrics', 'publish'].map((role) => {
      const file = join(folder, role);
      writeFileSync(file, `${role}-token-of-the-test\n`, { mode: 0o600 });
      return [role, file];
    }),
  );
  const roles = Object.entries(tokens).flatMap(([role, file]) => [
    '--admin-role',
    `${role}=${file}`,
  ]);
  const server = await TestServer.start(t, { args: roles });
  const measured = async (env: Record<string, string>, ...args: string[]): Promise<boolean> => {
    const target = ['--target', `127.0.0.1:${server.port}`, '--connections', '10', '--json', '-'];
    const admin = ['--admin', `127.0.0.1:${server.adminPort}`];
    const { code, stdout } = await run(['bench', ...target, ...admin, ...args], { env });
    t.equal(code, 0);
    return (JSON.parse(stdout) as BenchResult).server !== undefined;
  };
  t.equal(await measured({}), false, 'without a token');
  t.equal(await measured({}, '--admin-token-file', tokens['publish'] ?? ''), false, 'another role');
  t.equal(await measured({}, '--admin-token-file', tokens['metrics'] ?? ''), true);
  t.equal(await measured({ MEGACOMET_ADMIN_TOKEN: 'metrics-token-of-the-test' }), true);
  await server.stop();
});

/** A fake server that calls `onSocket` for each connection. */
async function startFakeServer(t: Test, onSocket: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.on('error', () => undefined));
    onSocket(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

t.test('a verifying run receives an answer on every connection', async (t) => {
  const server = await TestServer.start(t);
  const { code, result } = await bench(server.port, '--connections', '2000', '--verify');
  t.equal(code, 0, 'exit code');
  t.match(
    result,
    { requested: 2000, opened: 2000, failed: 0, failures: {} },
    'all connections were opened',
  );
  t.match(
    result.verify,
    { asked: 2000, answered: 2000, wrong: 0, unanswered: 0 },
    'all were answered',
  );
  t.equal(result.verify?.latency.count, 2000, 'each answer was timed');
  await until('all to be gone', async () => (await server.total('closedTotal')) === 2000);
  t.equal(await server.total('echoedTotal'), 2000, 'the server counts as many echoes');
  await server.stop();
});

t.test('failures are counted by their errno', async (t) => {
  const { code, result } = await bench(await freePort(), '--connections', '50');
  t.equal(code, 1, 'exit code');
  t.match(result, { opened: 0, failed: 50, failures: { ECONNREFUSED: 50 } }, 'the result');
});

t.test('a server with wrong answers is detected', async (t) => {
  const port = await startFakeServer(t, (socket) => {
    socket.on('data', (bytes: Buffer) => {
      socket.write(bytes.map((byte) => byte ^ 1));
    });
  });
  const { code, result } = await bench(port, '--connections', '20', '--verify');
  t.equal(code, 1, 'exit code');
  t.match(result.verify, { asked: 20, answered: 0, wrong: 20 }, 'every answer is wrong');
});

t.test('a server that answers one client with the bytes of another is detected', async (t) => {
  let last: Socket | undefined;
  const port = await startFakeServer(t, (socket) => {
    socket.on('data', (bytes: Buffer) => {
      (last ?? socket).write(bytes);
      last = socket;
    });
  });
  const args = ['--connections', '20', '--processes', '1', '--verify', '--connect-timeout', '1'];
  const { code, result } = await bench(port, ...args);
  t.equal(code, 1, 'exit code');
  t.ok((result.verify?.wrong ?? 0) > 0, 'wrong answers are counted');
});

t.test('a server that never answers times out', async (t) => {
  const port = await startFakeServer(t, () => undefined);
  const args = ['--connections', '10', '--verify', '--connect-timeout', '1'];
  const { code, result } = await bench(port, ...args);
  t.equal(code, 1, 'exit code');
  t.match(result.verify, { asked: 10, answered: 0, wrong: 0, unanswered: 10 }, 'unanswered');
  t.match(result, { failures: {}, lost: 10, losses: { ETIMEDOUT: 10 } }, 'each timed out');
});

t.test('connections closed by the server during hold are counted as lost', async (t) => {
  const port = await startFakeServer(t, (socket) => {
    setTimeout(() => socket.end(), 300);
  });
  const { code, result } = await bench(port, '--connections', '10', '--hold', '30');
  t.equal(code, 1, 'exit code');
  t.match(
    result,
    { failed: 0, failures: {}, lost: 10, losses: { 'closed by server': 10 }, hold: { lost: 10 } },
    'every loss is counted once, with its cause',
  );
  t.ok((result.hold?.seconds ?? 30) < 20, 'the hold ends when nothing is held');
});

t.test('--rate limits the connections per second', async (t) => {
  const server = await TestServer.start(t);
  const { code, result } = await bench(server.port, '--connections', '600', '--rate', '400');
  t.equal(code, 0, 'exit code');
  const rate = result.opened / result.ramp.seconds;
  t.ok(rate <= 400 * 1.2, `${rate.toFixed(0)} connections per second`);
  t.equal(result.ramp.latency?.count, 600, 'the time to open of each is measured');
  await server.stop();
});

t.test('an exchange reports messages, and files hold the result', async (t) => {
  const server = await TestServer.start(t);
  const client = new Command([
    ...['bench', '--target', `127.0.0.1:${server.port}`, '--connections', '20', '--active', '10'],
    ...['--duration', '0.5', '--message-size', '1000', '--json', 'out.json'],
    ...['--report', 'out.html', '--admin', `127.0.0.1:${server.adminPort}`],
  ]);
  const { code } = await client.ended;
  t.equal(code, 0, 'exit code');
  const read = (name: string): string => readFileSync(join(client.folder, name), 'utf8');
  const result = JSON.parse(read('out.json')) as BenchResult;
  const { active } = result;
  t.match(active, { connections: 10, messageBytes: 1000, seconds: 0.5 }, 'the requested load');
  const messages = active?.messages ?? 0;
  t.ok(messages >= 10, `${messages} messages`);
  t.equal(active?.latency.count, messages, 'each message was timed');
  const { minUs = 0, p50Us = 0, p99Us = 0, maxUs = 0 } = active?.latency ?? {};
  t.ok(
    0 < minUs && minUs <= p50Us && p50Us <= p99Us && p99Us <= maxUs,
    'the percentiles are in order',
  );
  t.equal(result.server?.workers, (await server.stats()).workers.length, 'the server was sampled');
  t.match(read('out.html'), /^<!doctype html>/i, 'the report is a page');
  t.match(client.stdout, /messages/, 'standard output has the text report');
  await client.run();
  await server.stop();
});

const TRANSPORTS = ['sse', 'websocket', 'poll', 'stream'];

for (const transport of TRANSPORTS) {
  t.test(
    `subscribers over ${transport} receive every message, and are reported by transport`,
    async (t) => {
      const { server, port } = await startComet(t);
      const client = new Command([
        ...['bench', '--target', `127.0.0.1:${port}`, '--admin', '127.0.0.1:1', '--json', '-'],
        ...['--transport', transport, '--channel', 'news & "x"', '--connections', '300'],
        ...['--hold', '4'],
      ]);
      // A poll is unsubscribed for a moment between messages, and workers report changes with a delay.
      const areKnown = async (): Promise<boolean> =>
        (await server.channels()).channels[0]?.subscribers === 300;
      const data = 'x'.repeat(3000) + '"cursor":"0000000000000000.7"\n\n';
      for (let index = 0; index < 3; index++) {
        await until('the manager to know all subscribers', areKnown);
        await server.publish('news & "x"', data);
        const delivered = (): number => Number(server.stats().totals['deliveredTotal']);
        await until(
          'all subscribers to receive the message',
          () => delivered() >= 300 * (index + 1),
        );
      }
      await server.publish('other', 'without subscribers');
      const { code } = await client.ended;
      t.equal(code, 0, 'exit code');
      const { fanout, opened, hold } = JSON.parse(client.stdout) as BenchResult;
      t.match(
        { opened, hold },
        { opened: 300, hold: { lost: 0 } },
        'all clients subscribed and stayed',
      );
      t.match(
        fanout,
        { transport, received: 900, gaps: 0 },
        'each subscriber received each message',
      );
      t.same(
        fanout?.broadcasts.map(({ reached }) => reached),
        [300, 300, 300],
        'each of three messages reached all subscribers',
      );
      for (const { curve, firstNs, lastNs, seconds } of fanout?.broadcasts ?? []) {
        t.equal(curve.at(-1)?.reached, 300, 'the curve ends with all subscribers');
        const isRising = curve.every(({ reached }, at) => reached >= (curve[at - 1]?.reached ?? 1));
        t.ok(
          isRising && Math.abs(seconds - (lastNs - firstNs) / 1e9) < 1e-6,
          'the curve never falls',
        );
      }
      await client.run();
    },
  );
}

for (const [args, channels] of [
  [['--private'], 50],
  [['--channels', '5'], 5],
] as const) {
  t.test(`with ${args[0]} there are ${channels} channels`, async (t) => {
    const { server, port } = await startComet(t);
    const client = new Command([
      ...['bench', '--target', `127.0.0.1:${port}`, '--admin', '127.0.0.1:1', '--json', '-'],
      ...['--transport', 'sse', '--connections', '50', '--hold', '3', ...args],
    ]);
    const areAllThere = async (): Promise<boolean> => {
      const all = (await server.channels({ limit: 100 })).channels;
      return all.reduce((sum, { subscribers }) => sum + subscribers, 0) === 50;
    };
    await until('all subscribers', areAllThere);
    t.equal((await server.channels({ limit: 100 })).channels.length, channels);
    for (let index = 0; index < channels; index++) {
      const { delivered } = await server.publish(`bench/${index}`, 'x');
      t.equal(delivered, 50 / channels, `channel ${index}`);
    }
    const { code } = await client.ended;
    t.equal(code, 0, 'exit code');
    const { fanout } = JSON.parse(client.stdout) as BenchResult;
    t.match(fanout, { received: 50 }, 'each subscriber received one message');
    if (channels === 50) t.same(fanout?.broadcasts, [], 'no message went to two subscribers');
    await client.run();
  });
}

t.test('--since replays missed messages, and reports a gap', async (t) => {
  const { server, port } = await startComet(t);
  const { cursor } = await server.publish('bench', 'before');
  for (const data of ['one', 'two']) await server.publish('bench', data);
  for (const transport of TRANSPORTS) {
    const args = ['--transport', transport, '--connections', '40', '--hold', '0.5'];
    const { code, result } = await bench(port, ...args, '--since', cursor);
    t.equal(code, 0, `${transport}: exit code`);
    t.match(
      result.fanout,
      { received: 80, gaps: 0 },
      `${transport}: each subscriber received two messages`,
    );
    const elsewhere = '0123456789abcdef.5';
    const gone = await bench(port, ...args, '--since', elsewhere);
    t.equal(gone.code, 1, `${transport}: a gap fails the run`);
    t.equal(gone.result.fanout?.gaps, 40, `${transport}: each gap is counted`);
  }
});

for (const transport of ['sse', 'websocket', 'poll', 'stream'] as const) {
  t.test(`subscribers over ${transport} reconnect with their cursors`, async (t) => {
    const { server, port } = await startComet(t);
    await reconnectSubscribers(t, { server, port }, transport);
  });
}

t.test('failures are counted by their HTTP status', async (t) => {
  const { port } = await startComet(t, { channelsPerConnection: 1 });
  const args = ['--transport', 'sse', '--connections', '10', '--since', 'nonsense'];
  const { code, result } = await bench(port, ...args);
  t.equal(code, 1, 'exit code');
  t.match(result, { opened: 0, failed: 10, failures: { 'HTTP 400': 10 } }, 'the result');
});

t.test('a server of another protocol and a silent server have no subscribers', async (t) => {
  const echo = await TestServer.start(t);
  const args = ['--transport', 'websocket', '--connections', '10', '--connect-timeout', '1'];
  const wrong = await bench(echo.port, ...args);
  t.match(wrong.result, { opened: 0, failures: { EBADMSG: 10 } }, 'an echo is not an HTTP answer');
  await echo.stop();
  const silentPort = await startFakeServer(t, () => undefined);
  const silent = await bench(silentPort, ...args);
  t.match(silent.result, { opened: 0, failures: { ETIMEDOUT: 10 } }, 'silence times out');
});

t.test('an exchange with a server that does not echo fails, and says so first', async (t) => {
  const { port } = await startComet(t);
  const target = ['--target', `127.0.0.1:${port}`, '--admin', '127.0.0.1:1'];
  const load = ['--connections', '10', '--active', '2', '--duration', '1'];
  const { code, stdout } = await run(['bench', ...target, ...load]);
  t.equal(code, 1, 'exit code');
  t.match(stdout, /^bench failed: [^\n]*all 2 exchanges failed\.\n/, 'the first line');
  t.match(stdout, /^ {2}lost +2 {2}in all phases\n {4}wrong answer +2$/m, 'a cause in words');
  t.match(stdout, /^ {2}p50 +-$/m, 'a time that was not measured is a dash');
  const silentPort = await startFakeServer(t, () => undefined);
  const silent = await bench(silentPort, ...load);
  t.equal(silent.code, 1, 'a silent server fails');
  t.match(silent.result, { lost: 0, active: { connections: 2, failed: 2, messages: 0 } });
});

t.test('a web server is not a server of polls, and is not flooded', async (t) => {
  let requests = 0;
  const web = createHttpServer((_, response) => {
    requests++;
    response.end('hello');
  });
  await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve));
  t.teardown(() => void web.close());
  const { port } = web.address() as AddressInfo;
  const args = ['--transport', 'poll', '--connections', '20', '--hold', '30'];
  const { code, result } = await bench(port, ...args);
  t.equal(code, 1, 'exit code');
  t.match(result, { opened: 0, failed: 20, failures: { EBADMSG: 20 } }, 'each answer is wrong');
  t.equal(requests, 20, 'one request for each connection');
  t.notOk(result.hold, 'a run in which nothing opened ends at once');
});

t.test('a server that answers each poll at once is polled five times a second', async (t) => {
  let requests = 0;
  const web = createHttpServer((_, response) => {
    requests++;
    response.writeHead(204, { 'Megacomet-Cursor': '00000000000000aa.1' }).end();
  });
  await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve));
  t.teardown(() => void web.close());
  const { port } = web.address() as AddressInfo;
  const args = ['--transport', 'poll', '--connections', '4', '--processes', '1', '--hold', '2'];
  const { result } = await bench(port, ...args);
  t.match(result, { opened: 4, lost: 0 }, 'these are answers of a comet server');
  // Two for the start of each connection, and at most one for each report of progress.
  t.ok(requests <= 4 * (2 + 5 * 4), `${requests} requests`);
});

t.test('a server that speaks first holds its connections, and answers all wrongly', async (t) => {
  const port = await startFakeServer(t, (socket) => {
    socket.write('220 hi\r\n');
  });
  const held = await bench(port, '--connections', '20', '--hold', '0.5');
  t.equal(held.code, 0, 'held is held');
  t.match(held.result, { lost: 0, hold: { lost: 0 } });
  const { code, result } = await bench(port, '--connections', '20', '--verify');
  t.equal(code, 1, 'exit code');
  t.match(result.verify, { asked: 20, answered: 0, wrong: 20, unanswered: 0 });
  t.match(result, { failed: 0, failures: {}, lost: 20, losses: { EBADMSG: 20 } });
});

t.test(
  'files of the result are checked before the run, and the text is printed anyway',
  async (t) => {
    const port = await startFakeServer(t, (socket) => socket.resume());
    const target = ['bench', '--target', `127.0.0.1:${port}`, '--admin', '127.0.0.1:1'];
    for (const [option, path] of [
      ['--json', 'no/such/x'],
      ['--report', 'no/such/x.html'],
      ['--json', '/'],
      ['--report', '/'],
    ] as const) {
      const { code, stdout, stderr } = await run([...target, option, path]);
      t.equal(code, 1, `${option} ${path}`);
      t.equal(stdout, '', 'nothing ran');
      t.match(
        stderr,
        new RegExp(`^megacomet-ts: ${option}: "${path}" cannot be written: [a-z ]+\n$`),
      );
    }
    const full = new Command([...target, '--json', '/dev/full', '--report', 'r.html']);
    const { code } = await full.ended;
    t.equal(code, 1, 'a file that is full');
    t.match(full.stdout, /Every connection opened/, 'the text is printed');
    t.match(full.stderr, /--json: "\/dev\/full" cannot be written: no space left on the device\n/);
    t.match(readFileSync(join(full.folder, 'r.html'), 'utf8'), /^<!doctype html>/, 'and the page');
    await full.run();
  },
);

t.test('the memory of the server is sampled through hold and exchange', async (t) => {
  const server = await TestServer.start(t);
  const target = ['bench', '--target', `127.0.0.1:${server.port}`, '--json', '-'];
  const load = ['--connections', '50', '--hold', '1.5', '--active', '5', '--duration', '1.5'];
  const admin = ['--admin', `127.0.0.1:${server.adminPort}`];
  const { stdout } = await run([...target, ...load, ...admin]);
  const { server: cost, hold } = JSON.parse(stdout) as BenchResult;
  const times = (cost?.memoryCurve ?? []).map(({ seconds }) => seconds);
  t.ok(times.length > 3 && times.at(0) === 0, times.join(' '));
  t.ok((times.at(-1) ?? 0) > 3, 'up to the end of the exchange');
  t.ok(cost?.memoryCurve.every(({ userBytes, kernelBytes }) => userBytes >= 0 && kernelBytes >= 0));
  t.ok((hold?.serverCpuShare ?? -1) >= 0, 'no negative share');
  await server.stop();
});

t.test('--verify and --active are for echo servers only', async (t) => {
  for (const [name, ...value] of [['--verify'], ['--active', '5']]) {
    const args = [
      'bench',
      '--target',
      '127.0.0.1:1',
      '--transport',
      'poll',
      String(name),
      ...value,
    ];
    const { code, stderr } = await run(args);
    t.equal(code, 2, 'exit code');
    t.match(stderr, new RegExp(`^megacomet-ts: ${name}: requires --transport tcp`), 'one sentence');
  }
});

t.test('an interrupt ends a run at once in every phase', async (t) => {
  const server = await TestServer.start(t);
  const phases = {
    open: ['--connections', '5000', '--rate', '100'],
    hold: ['--connections', '50', '--hold', '300'],
    exchange: ['--connections', '50', '--active', '5', '--duration', '300'],
  };
  for (const [phase, args] of Object.entries(phases)) {
    const target = ['--target', `127.0.0.1:${server.port}`, '--admin', '127.0.0.1:1'];
    const client = new Command(['bench', ...target, ...args]);
    await until('some connections', async () => (await server.total('connections')) > 10);
    await until(`the phase ${phase}`, () => client.stderr.includes(phase));
    client.child.kill('SIGINT');
    const { code, stdout } = await client.run();
    t.equal(code, 130, `${phase}: exit code`);
    t.match(
      stdout,
      /^bench failed: the run ended early \(SIGINT ended the run\)/,
      `${phase}: the first line says so`,
    );
    t.match(stdout, /^ {2}opened +[1-9]/m, `${phase}: the result has the measurements`);
    if (phase === 'hold') t.match(stdout, /^ {2}lost +0 {2}while held/m, 'the hold so far');
    if (phase === 'exchange') t.match(stdout, /^ {2}messages +[1-9]/m, 'the messages so far');
    await until('all to be gone', async () => (await server.total('connections')) === 0);
  }
  await server.stop();
});
