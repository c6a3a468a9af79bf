// slowhttptest with a thousand slow clients against both ports, while legitimate clients ask: each of
// their requests must be answered.
import t, { type Test } from 'tap';
import { spawn } from 'node:child_process';
import { request } from 'node:http';

import { TestServer, until } from '../support/helpers.js';
import { without } from '../support/requirements.js';

const CLIENTS = 1000;
/** Seconds of one attack. */
const ATTACK_S = 12;
/** Milliseconds between two legitimate requests. */
const INTERVAL_MS = 20;

/** Slow heads, bodies and readers; the options of each. */
const MODES: Readonly<Record<string, readonly string[]>> = {
  '-H': ['-i', '1', '-x', '24'],
  '-B': ['-i', '1', '-s', '8192', '-x', '24', '-f', 'application/json'],
  '-X': ['-n', '1', '-w', '1', '-y', '8', '-z', '1', '-k', '3'],
};

/** A path that slow readers ask for, and one that legitimate clients ask for, on each port. */
const PORTS = [
  { name: 'public', slow: '/events?channel=a', path: '/stream?channel=b', status: 200 },
  { name: 'admin', slow: '/metrics', path: '/healthz', status: 200 },
] as const;

/** Asks until `isOver`; resolves to the statuses and the milliseconds of each request. */
async function askUntil(
  port: number,
  path: string,
  isOver: () => boolean,
): Promise<{ statuses: Map<number | string, number>; timesMs: number[] }> {
  const statuses = new Map<number | string, number>();
  const timesMs: number[] = [];
  const one = (): Promise<number | string> =>
    new Promise((resolve) => {
      const sent = request({ host: '127.0.0.1', port, path, agent: false }, (response) => {
        resolve(response.statusCode ?? 0);
        response.on('error', () => undefined);
        response.destroy();
      });
      sent.on('error', (error: NodeJS.ErrnoException) => {
        resolve(error.code ?? error.message);
      });
      sent.end();
    });
  while (!isOver()) {
    const startedAt = performance.now();
    const status = await one();
    timesMs.push(performance.now() - startedAt);
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
    await new Promise((resolve) => setTimeout(resolve, INTERVAL_MS));
  }
  return { statuses, timesMs };
}

/** Runs one attack, with legitimate requests beside it. */
async function attack(t: Test, server: TestServer, mode: string): Promise<void> {
  const options = MODES[mode] ?? [];
  for (const { name, slow, path, status } of PORTS) {
    const port = name === 'public' ? server.port : server.adminPort;
    const url = `http://127.0.0.1:${port}${slow}`;
    const load = ['-c', String(CLIENTS), '-r', '500', '-l', String(ATTACK_S)];
    const tool = spawn('slowhttptest', [mode, ...load, ...options, '-u', url], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    let isOver = false;
    let printed = '';
    tool.stdout.setEncoding('utf8').on('data', (text: string) => (printed += text));
    tool.once('close', () => (isOver = true));
    const { statuses, timesMs } = await askUntil(port, path, () => isOver);
    timesMs.sort((a, b) => a - b);
    const p99 = timesMs[Math.floor(timesMs.length * 0.99)] ?? NaN;
    t.comment(`${mode} on the ${name} port: ${timesMs.length} requests, p99 ${p99.toFixed(1)} ms`);
    t.ok(timesMs.length > 20, `${mode} on the ${name} port: requests were sent meanwhile`);
    t.same([...statuses], [[status, timesMs.length]], 'and all of them are answered');
    t.match(printed, /connected|initializing|closed/, 'slowhttptest ran');
  }
}

t.test(
  'a thousand slow clients on either port cost no other client its answer',
  { skip: without('slowhttptest') },
  async (t) => {
    const server = await TestServer.start(t, {
      args: ['--protocol', 'comet', '--handshake-timeout', '5', '--max-connections', '4000'],
      expectLog: [/./],
    });
    for (const mode of Object.keys(MODES)) await attack(t, server, mode);
    const { totals, admin } = await server.stats();
    t.ok(Number(totals['closedHeadTimeoutTotal']) > 0, 'slow heads of the public port were cut');
    t.ok(
      (admin?.['evictedTotal'] ?? 0) > 0,
      'connections of the admin server were closed for others',
    );
    await until(
      'the slow clients to be gone',
      async () => (await server.total('connections')) === 0,
    );
    await server.stop();
  },
);
