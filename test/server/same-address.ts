// Servers that start at the same instant on one address: exactly one of them serves, whatever the
// timing, and the others say why they do not.
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer as createNetServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import t, { type Test as TapTest } from 'tap';

import { createServer, type MegacometError, type ServerOptions } from '../../lib/index.js';
import { Clients, Command, connect, freePort, until } from '../support/helpers.js';

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
