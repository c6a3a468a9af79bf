// Session tickets of real servers, with Node's own TLS client.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:tls';
import t, { type Test } from 'tap';

import { Authority, filesOf } from '../../bench/certificates.js';
import { run, TestServer, until } from '../support/helpers.js';

const AUTHORITY = new Authority();

interface Visit {
  readonly isResumed: boolean;
  /** The ticket for the next visit. */
  readonly session: Buffer;
}

/** One connection with an echo, which resumes a session if one is given. */
async function visit(port: number, session?: Buffer): Promise<Visit> {
  const socket = connect({
    ...{ host: '127.0.0.1', port, ca: AUTHORITY.cert },
    ...(session === undefined ? {} : { session }),
  });
  // The ticket comes after the handshake, perhaps before its event is handled.
  const ticket = once(socket, 'session') as Promise<[Buffer]>;
  await once(socket, 'secureConnect');
  const echo = once(socket, 'data') as Promise<[Buffer]>;
  socket.write('question');
  const [[next], [answer]] = await Promise.all([ticket, echo]);
  if (answer.toString() !== 'question') throw new Error(`echoed ${answer.toString()}`);
  const isResumed = socket.isSessionReused();
  const end = once(socket, 'close');
  socket.end();
  await end;
  return { isResumed, session: next };
}

const FILES = filesOf(t.testdir({}), AUTHORITY.certify());

function start(t: Test, workers: number, ...args: string[]): Promise<TestServer> {
  return TestServer.start(t, {
    args: ['--workers', String(workers), ...FILES, ...args],
    expectLog: [/^worker died$/],
  });
}

t.test('a client resumes at every worker, and gets a new ticket each time', async (t) => {
  const server = await start(t, 2);
  let { session } = await visit(server.port);
  let resumed = 0;
  await until('a session that was resumed at each worker', async () => {
    const next = await visit(server.port, session);
    t.ok(next.isResumed);
    t.notSame(next.session, session);
    session = next.session;
    resumed++;
    const { workers } = await server.stats();
    return workers.every((worker) => Number(worker['tlsResumedTotal']) > 0);
  });
  t.equal(await server.total('tlsResumedTotal'), resumed);
  t.equal(await server.total('tlsHandshakesTotal'), resumed + 1);
});

t.test('a client resumes after the death of the only worker', async (t) => {
  const server = await start(t, 1);
  const { session } = await visit(server.port);
  const pid = await server.pidOf(0);
  process.kill(pid, 'SIGKILL');
  await until('a successor', async () => (await server.pidOf(0)) !== pid);
  t.ok((await visit(server.port, session)).isResumed);
});

t.test('servers with one ticket key file resume the sessions of each other', async (t) => {
  const file = join(t.testdir({}), 'tickets');
  writeFileSync(file, randomBytes(48), { mode: 0o600 });
  const shared = ['--tls-ticket-key-file', file];
  const [one, two, other] = await Promise.all([
    start(t, 1, ...shared),
    start(t, 1, ...shared),
    start(t, 1),
  ]);
  const { session } = await visit(one.port);
  t.ok((await visit(two.port, session)).isResumed);
  t.notOk((await visit(other.port, session)).isResumed, 'random keys are those of one server');
  writeFileSync(file, randomBytes(48));
  two.child.kill('SIGHUP');
  await two.logged(/^configuration read again$/);
  // The workers get the keys in their control stream, after the line of the log.
  let later = session;
  await until('the new keys', async () => {
    const next = await visit(two.port, session);
    later = next.session;
    return !next.isResumed;
  });
  t.ok((await visit(two.port, later)).isResumed);
  t.ok((await visit(one.port, session)).isResumed, 'the other server keeps the old keys');
});

t.test(
  'a mistake in the ticket key file is named, and a mode that is too open is a warning',
  async (t) => {
    const folder = t.testdir({ short: 'x'.repeat(31), pem: AUTHORITY.certify().key });
    const rows: readonly (readonly [args: readonly string[], rule: RegExp])[] = [
      [['--tls-ticket-key-file', 'x'], /--tls-ticket-key-file: "x" needs --tls-cert/],
      [
        [...FILES, '--tls-ticket-key-file', join(folder, 'short')],
        /tls-ticket-key-file: \S+short: the secret has 31 bytes; 32 to 1024 are allowed/,
      ],
      [[...FILES, '--tls-ticket-key-file', join(folder, 'pem')], /pem has a key as PEM/],
      [[...FILES, '--tls-ticket-key-file', join(folder, 'none')], /none cannot be read \(ENOENT\)/],
    ];
    for (const [args, rule] of rows) {
      const { code, stderr } = await run(['serve', ...args]);
      t.equal(code, 2, args.join(' '));
      t.match(stderr, rule);
    }
    const open = join(folder, 'open');
    writeFileSync(open, randomBytes(48));
    chmodSync(open, 0o644);
    const warning = /open has mode 0644, so every user can read the secret: chmod 600 /;
    const server = await TestServer.start(t, {
      args: ['--workers', '1', ...FILES, '--tls-ticket-key-file', open],
      expectLog: [warning],
    });
    await server.logged(warning);
  },
);
