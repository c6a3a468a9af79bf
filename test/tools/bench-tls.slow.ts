// `megacomet-ts bench --tls` against real servers with TLS, and against those that it rejects.
import { writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';
import t, { type Test } from 'tap';

import type { BenchResult } from '../../lib/bench/bench-result.js';
import { TRANSPORTS } from '../../lib/bench/bench.js';
import { Authority, filesOf } from '../../bench/certificates.js';
import { startComet } from '../support/comet-world.js';
import { run, TestServer } from '../support/helpers.js';
import { reconnectSubscribers } from '../support/reconnecting-bench.js';

const AUTHORITY = new Authority();

interface Outcome {
  readonly code: number | null;
  readonly result: BenchResult;
}

/** Runs the bench with TLS and the result on standard output. */
async function bench(port: number, ...args: string[]): Promise<Outcome> {
  const target = ['--target', `127.0.0.1:${port}`, '--json', '-', '--admin', '127.0.0.1:1'];
  const { code, stdout, stderr } = await run(['bench', '--tls', ...target, ...args]);
  if (stdout === '') throw new Error(stderr);
  return { code, result: JSON.parse(stdout) as BenchResult };
}

function authorityFile(t: Test): string {
  const file = join(t.testdir({}), 'ca.pem');
  writeFileSync(file, AUTHORITY.cert);
  return file;
}

/** An echo server of megacomet-ts with TLS. */
function startEcho(t: Test): Promise<TestServer> {
  return TestServer.start(t, { args: filesOf(t.testdir({}), AUTHORITY.certify()) });
}

/** An echo server of Node with TLS. */
async function startNode(t: Test, options: TlsOptions = {}): Promise<number> {
  const server = createTlsServer({ ...AUTHORITY.certify(), ...options }, (socket) => {
    socket.on('error', () => undefined).pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => void server.close());
  return (server.address() as AddressInfo).port;
}

t.test('connections with TLS are opened, verified and exchange messages of any size', async (t) => {
  const server = await startEcho(t);
  const args = ['--connections', '300', '--verify', '--active', '10', '--duration', '0.5'];
  for (const size of ['32', '200000']) {
    const ca = ['--ca', authorityFile(t), '--message-size', size];
    const { code, result } = await bench(server.port, ...args, ...ca);
    t.equal(code, 0, 'exit code');
    t.match(result, { opened: 300, failed: 0, failures: {}, lost: 0 });
    t.match(result.verify, { asked: 300, answered: 300, wrong: 0 });
    t.ok((result.active?.messages ?? 0) >= 10, `messages of ${size} bytes`);
  }
  t.equal(await server.total('tlsHandshakesTotal'), 600);
  await server.stop();
});

t.test('a server of Node is a server with TLS too', async (t) => {
  const port = await startNode(t);
  const args = ['--connections', '20', '--processes', '1', '--verify', '--insecure'];
  const { code, result } = await bench(port, ...args, '--active', '4', '--duration', '0.5');
  t.equal(code, 0, 'exit code');
  t.match(result.verify, { asked: 20, answered: 20, wrong: 0 });
  t.ok((result.active?.messages ?? 0) > 4);
});

for (const transport of TRANSPORTS.filter((one) => one !== 'tcp')) {
  t.test(`subscribers over ${transport} reconnect over TLS with their cursors`, async (t) => {
    const { cert, key } = AUTHORITY.certify();
    const world = await startComet(t, { tlsCert: [cert], tlsKey: [key] });
    const tls = { authorities: AUTHORITY.cert, verifies: true, serverName: null, resumes: false };
    await reconnectSubscribers(t, world, transport, tls);
  });
}

t.test('a failed verification is counted with its reason', async (t) => {
  const server = await startEcho(t);
  const ca = authorityFile(t);
  for (const [args, reason] of [
    [[], 'unable to get local issuer certificate'],
    [['--ca', ca, '--server-name', 'other.example'], 'hostname mismatch'],
  ] as const) {
    const { code, result } = await bench(server.port, '--connections', '20', ...args);
    t.equal(code, 1, 'exit code');
    t.match(result, { opened: 0, failed: 20, failures: { [`TLS: ${reason}`]: 20 } });
  }
  const insecure = ['--connections', '20', '--insecure', '--server-name', 'other.example'];
  t.match((await bench(server.port, ...insecure)).result, { opened: 20, failed: 0 });
  await server.stop();
});

t.test('the name of the server is sent, and its certificate is chosen and verified', async (t) => {
  const names: string[] = [];
  const port = await startNode(t, {
    ...AUTHORITY.certify('a.example'),
    SNICallback: (name, done) => {
      names.push(name);
      done(null);
    },
  });
  const args = ['--ca', authorityFile(t), '--connections', '5', '--processes', '1', '--verify'];
  const named = await bench(port, ...args, '--server-name', 'A.example');
  t.match(named.result, { opened: 5, failures: {} });
  t.same(names, Array<string>(5).fill('a.example'));
  const numeric = await bench(port, ...args);
  t.match(numeric.result, { failures: { 'TLS: IP address mismatch': 5 } });
  t.equal(names.length, 5, 'an address is not sent as a name');
});

t.test('a server without TLS, and one without TLS 1.3, fail with a reason', async (t) => {
  const plain = await startComet(t);
  const args = ['--connections', '5', '--insecure'];
  const wrong = await bench(plain.port, ...args);
  t.match(wrong.result, { opened: 0, failures: { 'TLS: wrong version number': 5 } });
  const old = await bench(await startNode(t, { maxVersion: 'TLSv1.2' }), ...args);
  t.equal(old.result.opened, 0);
  t.match(Object.keys(old.result.failures)[0], /^TLS: .*protocol version$/);
});

t.test('the file of NODE_EXTRA_CA_CERTS is trusted, as by other commands', async (t) => {
  const server = await startEcho(t);
  const target = ['bench', '--tls', '--target', `127.0.0.1:${server.port}`, '--connections', '5'];
  const args = [...target, '--resume', '--json', '-', '--admin', '127.0.0.1:1'];
  const { stdout, stderr } = await run(args, { env: { NODE_EXTRA_CA_CERTS: authorityFile(t) } });
  t.match(JSON.parse(stdout), { opened: 5, failures: {} }, stderr);
  await server.stop();
});

t.test('handshakes resume the session of one before them, in every worker', async (t) => {
  const server = await startEcho(t);
  const args = ['--ca', authorityFile(t), '--connections', '20', '--resume', '--verify'];
  const { result } = await bench(server.port, ...args);
  t.match(result, { opened: 20, failures: {}, verify: { answered: 20 } });
  t.equal(await server.total('tlsResumedTotal'), 20);
  t.equal(await server.total('tlsHandshakesTotal'), 21, 'the first one was full');
  await server.stop();
});

t.test('a run without the session that it needs ends with a reason', async (t) => {
  const port = await startNode(t, { maxVersion: 'TLSv1.2' });
  const target = ['bench', '--tls', '--insecure', '--resume', '--target', `127.0.0.1:${port}`];
  const { code, stderr } = await run([...target, '--connections', '5']);
  t.equal(code, 1, 'exit code');
  t.match(stderr, /no TLS session of 127\.0\.0\.1:\d+: .*version/);
});

t.test('options of TLS that cannot have an effect are rejected', async (t) => {
  const ca = authorityFile(t);
  const empty = join(t.testdir({ 'empty.pem': 'no certificate' }), 'empty.pem');
  for (const [args, message] of [
    [['--ca', ca], /^megacomet-ts: --ca: .*needs --tls$/m],
    [['--insecure'], /^megacomet-ts: --insecure: needs --tls$/m],
    [['--server-name', 'a.example'], /^megacomet-ts: --server-name: .*needs --tls$/m],
    [['--resume'], /^megacomet-ts: --resume: needs --tls$/m],
    [['--tls', '--ca', ca, '--insecure'], /--ca: cannot be combined with --insecure$/m],
    [['--tls', '--ca', 'no/such.pem'], /--ca: no\/such\.pem cannot be read \(ENOENT\)$/m],
    [['--tls', '--ca', empty], /--ca: .*empty\.pem has no valid certificate as PEM$/m],
    [['--tls', '--server-name', '1.2.3.4'], /--server-name: .*1\.2\.3\.4.* is not a host name/m],
  ] as const) {
    const { code, stderr } = await run(['bench', '--target', '127.0.0.1:1', ...args]);
    t.equal(code, 2, args.join(' '));
    t.match(stderr, message);
  }
});
