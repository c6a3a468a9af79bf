// The log of `serve` about the limits of its machine. At the start: one warning for each limit in the
// way, and the limit that binds. While it runs: one warning for each limit that is reached, here a
// full listen queue. Real servers in network namespaces of their own.
import t from 'tap';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

import { LOOK_INTERVAL_MS } from '../../lib/stats/limit-watch.js';
import { TestServer, until, type LogLine } from '../support/helpers.js';
import { without } from '../support/requirements.js';

const execute = promisify(execFile);
/** Of pino; shown only at this level. */
const DEBUG = 20;
const WARN = 40;

// A process inside a container may have no right to make one; where CI is set the tests run, and fail.
const noNamespace = without('namespaces', 'ip');

/** Said to root by a server that keeps its rights: true here, and no limit. */
const AS_ROOT = /^serving as root/;

/** The command that starts a server in a namespace of its own, after a shell line there. */
function inNamespace(setUp = ':'): string[] {
  const shell = `ip link set lo up && ${setUp} && exec "$@"`;
  return ['unshare', '-n', 'sh', '-c', shell, 'sh'];
}

/** Runs a module in the namespace of a server; returns its output. */
async function inside(server: TestServer, script: string): Promise<string> {
  const node = [process.execPath, '--input-type=module', '-e', script];
  const into = ['-t', String(server.pid), '-n', ...node];
  return (await execute('nsenter', into, { timeout: 30_000 })).stdout;
}

function warnings(server: TestServer): LogLine[] {
  return server.log.filter(({ level, msg }) => level >= WARN && !AS_ROOT.test(msg));
}

/** The first line: it sums the start up. */
function summary(server: TestServer): string {
  return server.log.find(({ level }) => level > DEBUG)?.msg ?? '';
}

t.test('a start without obstacles logs the limit that binds, and warns of nothing', async (t) => {
  const rows: [string[], string[], RegExp][] = [
    [[], [], /; the limit that binds: \S+/],
    [
      ['--max-connections', '50'],
      [],
      /for 50 connections; protocol echo; the limit that binds: --max-connections$/,
    ],
    [[], ['prlimit', '--nofile=300'], /; the limit that binds: RLIMIT_NOFILE \(300 open files per/],
  ];
  for (const [args, through, wanted] of rows) {
    const server = await TestServer.start(t, {
      args: [...args, '--log-level', 'info'],
      through,
    });
    t.match(summary(server), wanted, 'the first line');
    t.match(summary(server), /^listening on \[::\]:\d+ with \d+ workers, for \d+ connections;/);
    t.same(warnings(server), [], 'no warning');
    await server.stop();
  }
});

t.test('a limit in the way is one warning with its values', { skip: noNamespace }, async (t) => {
  const server = await TestServer.start(t, {
    args: ['--log-level', 'info'],
    through: inNamespace('echo 512 > /proc/sys/net/core/somaxconn'),
    expectLog: [/^net\.core\.somaxconn: /],
  });
  await server.logged(/^net\.core\.somaxconn: /);
  const lines = warnings(server);
  t.match(lines, [{ limit: 'net.core.somaxconn', current: '512', needed: '4,096' }]);
  t.equal(lines.length, 1, 'and only one, although the backlog is cut too');
  t.match(lines[0]?.msg, /the client retries after a second/, 'the consequence for clients');
  t.match(summary(server), /the limit that binds: \S+/, 'the first line names the lowest limit');
  await server.stop();
});

/** Connects many clients at once, waits for a moment, and goes. */
function flood(port: number, clients: number): string {
  return `
    import { connect } from 'node:net';
    for (let i = 0; i < ${clients}; i++) connect(${port}, '127.0.0.1').on('error', () => undefined);
    setTimeout(() => process.exit(), 500);`;
}

/** The values of a metric, by the value of its one label. */
function values(text: string, name: string): Map<string, number> {
  const lines = text.matchAll(new RegExp(`^${name}(?:\\{\\w+="([^"]*)"\\})? (\\S+)$`, 'gm'));
  return new Map([...lines].map(([, label = '', value]) => [label, Number(value)]));
}

async function metrics(server: TestServer): Promise<string> {
  const url = `http://127.0.0.1:${server.adminPort}/metrics`;
  return inside(server, `process.stdout.write(await (await fetch('${url}')).text());`);
}

t.test(
  'clients that meet a full queue are one warning and a metric',
  { skip: noNamespace },
  async (t) => {
    const server = await TestServer.start(t, {
      args: ['--workers', '1', '--backlog', '16', '--heartbeat-limit', '60'],
      through: inNamespace(),
      expectLog: [/^ListenOverflows moved/],
    });
    const overflows = async (): Promise<number> =>
      values(await metrics(server), 'megacomet_kernel_listen_overflows').get('') ?? NaN;
    t.equal(await overflows(), 0, 'a new namespace has none');
    t.same(warnings(server), [], 'and nothing is said');
    const [worker = 0] = server.workerPids;
    const overflow = async (): Promise<void> => {
      process.kill(worker, 'SIGSTOP');
      await inside(server, flood(server.port, 100));
      process.kill(worker, 'SIGCONT');
    };
    await overflow();
    const line = await until('the warning', () => warnings(server)[0], 3 * LOOK_INTERVAL_MS);
    t.match(line, {
      limit: 'listen queue',
      counter: 'ListenOverflows',
      fix: 'raise net.core.somaxconn and --backlog, or add workers',
      msg: 'ListenOverflows moved: the listen queue was hit',
    });
    const told = Number(line['added']);
    t.ok(told >= 50, `with how many: ${told}`);
    await overflow();
    const text = await metrics(server);
    t.ok((await overflows()) > told, 'the metric goes on counting');
    const max = values(text, 'megacomet_limit_max');
    const used = values(text, 'megacomet_limit_used');
    const left = values(text, 'megacomet_limit_headroom_ratio');
    for (const limit of ['max-connections', 'fs.file-max', 'fs.epoll.max_user_watches']) {
      const ratio = 1 - (used.get(limit) ?? NaN) / (max.get(limit) ?? NaN);
      t.ok(Math.abs((left.get(limit) ?? NaN) - ratio) < 1e-9, `${limit}: ${ratio} is left`);
    }
    t.same([...left.keys()], [...max.keys()], 'each limit has all three gauges');
    await new Promise((resolve) => setTimeout(resolve, LOOK_INTERVAL_MS + 1000));
    t.equal(warnings(server).length, 1, 'and the second time is not told so soon');
    await server.stop();
  },
);
