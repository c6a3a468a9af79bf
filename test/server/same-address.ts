// Servers that start at the same instant on one address: exactly one of them serves at any timing,
// and the others log the reason.
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer as createNetServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';

import t, { type Test as TapTest } from 'tap';

import { forkedCopyHint } from '../../lib/base/forked-copy.js';
import { createServer, type MegacometError, type ServerOptions } from '../../lib/index.js';
import { Clients, Command, connect, freePort, root, until } from '../support/helpers.js';

const STARTS = 4;
const ROUNDS = 3;

/** Starts several programs at once; returns those that serve after the others have ended. */
async function startTogether(t: TapTest, args: readonly string[]): Promise<Command> {
  const all = ['serve', '--admin-port', '0', '--workers', '2', '--drain', '0', ...args];
  const commands = Array.from(
    { length: STARTS },
    () => new Command([...all, '--log-format', 'json']),
  );
  t.teardown(() => {
    for (const command of commands) command.child.kill('SIGKILL');
  });
  const isOver = ({ child, stdout }: Command): boolean =>
    child.exitCode !== null || stdout.includes('"msg":"listening on');
  await until('every start to succeed or fail', () => commands.every(isOver));
  const serving = commands.filter(({ child }) => child.exitCode === null);
  t.equal(serving.length, 1, 'exactly one serves');
  for (const { child, stderr } of commands) {
    if (child.exitCode === null) continue;
    t.equal(child.exitCode, 1);
    t.match(stderr, /^megacomet-ts: cannot listen on .*: another program listens there .*\n$/);
  }
  const [winner] = serving;
  if (winner === undefined) throw new Error('none serves');
  return winner;
}

async function stop(command: Command): Promise<void> {
  command.child.kill('SIGTERM');
  await command.run();
}

for (const host of ['', '127.0.0.1', '::1']) {
  const name = host === '' ? 'all addresses' : host;
  t.test(`of servers that start together on a port of ${name} one serves`, async (t) => {
    for (let round = 0; round < ROUNDS; round++) {
      const port = await freePort();
      const winner = await startTogether(t, [
        ...(host === '' ? [] : ['--host', host]),
        ...['--port', String(port)],
      ]);
      await stop(winner);
    }
  });
}

t.test('of servers that start together on a unix socket one serves, on the path', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'megacomet-same-'));
  t.teardown(() => {
    rmSync(folder, { recursive: true });
  });
  const path = join(folder, 'socket');
  for (let round = 0; round < ROUNDS; round++) {
    const winner = await startTogether(t, ['--listen', `unix:${path}`]);
    const clients = await Clients.open(t, path, 10);
    t.equal(await clients.answering(), 10, 'the winner has the path');
    clients.destroy();
    // Killed, so that the next round finds the socket file of a crashed server.
    const { pid } = winner;
    winner.child.kill('SIGKILL');
    await winner.ended;
    await until('the workers to end', () => winner.left().length === 0);
    t.ok(existsSync(path), `round ${round}: ${pid} left its file`);
  }
});

t.test('of two servers of one process one listens', async (t) => {
  for (const options of [{ host: '127.0.0.1' }, {}] satisfies ServerOptions[]) {
    const port = await freePort();
    const servers = [0, 1].map(() => createServer({ ...options, port, workers: 2 }));
    const results = await Promise.allSettled(servers.map((server) => server.listen()));
    const errors = results.flatMap((result) =>
      result.status === 'rejected' ? [(result.reason as MegacometError).code] : [],
    );
    t.same(errors, ['ERR_LISTEN']);
    for (const server of servers) await server.close({ drainMs: 0 });
  }
});

/** Forks a program three times; each copy prints its answer, and the first one ends all. */
const FORKS = `
import cluster from 'node:cluster';
import { createServer } from ${JSON.stringify(pathToFileURL(join(root, 'dist/lib/index.js')).href)};
const COPIES = 3;
const options = JSON.parse(process.argv[2]);
if (cluster.isPrimary) {
  const answers = [];
  for (let copy = 0; copy < COPIES; copy++) cluster.fork();
  cluster.on('message', (_, answer) => {
    if (answers.push(answer) < COPIES) return;
    for (const copy of Object.values(cluster.workers)) copy.send('close');
    console.log(JSON.stringify(answers));
  });
} else {
  const server = createServer({ ...options, workers: 1 });
  process.on('message', async () => {
    await server.close({ drainMs: 0 });
    process.disconnect();
  });
  await server.listen().then(
    () => process.send(server.addresses),
    (error) => process.send(error.message),
  );
}`;

async function answersOfCopies(t: TapTest, options: ServerOptions): Promise<unknown[]> {
  const file = join(t.testdir({ 'app.mjs': FORKS }), 'app.mjs');
  const args = [file, JSON.stringify(options)];
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 60_000 });
  return JSON.parse(stdout) as unknown[];
}

t.test(
  'of the copies that node:cluster forks one serves, and the others name the cause',
  async (t) => {
    const port = await freePort();
    const cause = /under node:cluster start one process: the server starts its own workers/;
    const rows: [string, ServerOptions][] = [
      ['the port', { host: '127.0.0.1', port }],
      ['the admin port', { host: '127.0.0.1', port: 0, adminPort: port }],
      [
        'the ingest',
        { host: '127.0.0.1', port: 0, protocol: 'comet', ingest: `127.0.0.1:${port}` },
      ],
    ];
    for (const [name, options] of rows) {
      const answers = await answersOfCopies(t, options);
      const errors = answers.filter((answer) => typeof answer === 'string');
      t.equal(errors.length, 2, `${name}: one of three serves`);
      for (const error of errors) t.match(error, cause, name);
    }
  },
);

t.test('the hint names the starter, and is empty for a program of its own', (t) => {
  t.equal(forkedCopyHint({}, false), '');
  t.match(forkedCopyHint({}, true), /^; under node:cluster start one process/);
  t.match(forkedCopyHint({ NODE_APP_INSTANCE: '1' }, false), /^; under PM2 start one process/);
  t.match(forkedCopyHint({ NODE_APP_INSTANCE: '0' }, true), /^; under PM2 start one process/);
  t.end();
});

t.test('an outgoing connection that has the port is named as such', async (t) => {
  const target = createNetServer().listen(0, '127.0.0.1');
  await once(target, 'listening');
  const socket = await connect((target.address() as { port: number }).port);
  t.teardown(() => {
    socket.destroy();
    target.close();
  });
  const command = new Command(['serve', '--admin-port', '0', '--port', String(socket.localPort)]);
  const { code, stderr } = await command.run();
  t.equal(code, 1);
  t.match(stderr, /an outgoing connection has the port; net\.ipv4\.ip_local_reserved_ports/);
});
