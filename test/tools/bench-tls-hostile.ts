// `megacomet-ts bench --tls` against servers that break the rules of TLS, within the handshake and
// after it: the report has each of the connections, and the others go on.
import type { AddressInfo, Socket } from 'node:net';
import { connect, createServer } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import t, { type Test } from 'tap';

import { Authority } from '../../bench/certificates.js';
import type { BenchResult } from '../../lib/bench/bench-result.js';
import { run } from '../support/helpers.js';

const AUTHORITY = new Authority();

/** The header of a record of handshake messages or of data, whose length is beyond RFC 8446 5.2. */
const longRecord = (type: number): Buffer =>
  Buffer.concat([Buffer.from([type, 3, 3, 0x48, 0x01]), Buffer.alloc(0x4801)]);

/** Where a server that would be a good one breaks the rules. */
interface Hostility {
  /** In place of the server's first bytes. */
  readonly answers?: (hello: Buffer) => Buffer;
  /** In place of the answer to the first data of the client. */
  readonly echoes?: Buffer;
  /** Whether it closes then. */
  readonly closes?: boolean;
}

const GOOD: Hostility = {};
const IN_HANDSHAKE: readonly Hostility[] = [
  { answers: () => Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'), closes: true },
  { answers: () => Buffer.alloc(70_000, 0xff) },
  { answers: () => Buffer.alloc(0), closes: true },
  { answers: (hello) => hello.subarray(0, 50), closes: true },
  { answers: (hello) => Buffer.concat([hello.subarray(0, 60), Buffer.alloc(5000)]) },
  { answers: () => longRecord(22) },
  // An alert handshake_failure, and one of a length that none has.
  { answers: () => Buffer.from([21, 3, 3, 0, 2, 2, 40]) },
  { answers: () => Buffer.from([21, 3, 3, 0, 4, 2, 40, 2, 40]) },
];
const AFTER_HANDSHAKE: readonly Hostility[] = [
  { echoes: longRecord(23) },
  { echoes: Buffer.from([23, 3, 3, 0, 0]) },
  { echoes: Buffer.concat([Buffer.from([23, 3, 3, 0, 30]), Buffer.alloc(30, 7)]) },
  { echoes: Buffer.from('garbage without a record') },
  { echoes: Buffer.alloc(0), closes: true },
];
const ALL = [GOOD, ...IN_HANDSHAKE, GOOD, ...AFTER_HANDSHAKE];

/** Passes a client on to a good server, until the rule that is to be broken. */
function pass(client: Socket, good: number, { answers, echoes, closes }: Hostility): void {
  const server = connect(good, '127.0.0.1');
  const say = (bytes: Buffer): void => {
    server.destroy();
    client.removeAllListeners('data').resume();
    if (closes === true) client.end(bytes);
    else client.write(bytes);
  };
  client.on('error', () => undefined);
  server.on('error', () => undefined);
  client.on('close', () => server.destroy());
  let unread = Buffer.alloc(0);
  let sealed = 0;
  client.on('data', (bytes: Buffer) => {
    unread = Buffer.concat([unread, bytes]);
    while (unread.length >= 5 && unread.length >= 5 + unread.readUInt16BE(3)) {
      const record = unread.subarray(0, 5 + unread.readUInt16BE(3));
      unread = unread.subarray(record.length);
      // The first protected record of a client ends its handshake.
      if (record[0] === 23 && ++sealed === 2 && echoes !== undefined) {
        say(echoes);
        return;
      }
      server.write(record);
    }
  });
  server.on('data', (bytes: Buffer) => {
    if (answers === undefined) client.write(bytes);
    else say(answers(bytes));
  });
}

/** A server that takes turns with its clients. Returns its port. */
async function startHostile(t: Test): Promise<number> {
  const good = createTlsServer(AUTHORITY.certify(), (socket) => {
    socket.on('error', () => undefined).pipe(socket);
  });
  let clients = 0;
  const ports: number[] = [];
  const hostile = createServer((client) => {
    pass(client, ports[0] ?? 0, ALL[clients++ % ALL.length] ?? GOOD);
  });
  for (const server of [good, hostile]) {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.teardown(() => void server.close());
    ports.push((server.address() as AddressInfo).port);
  }
  return ports[1] ?? 0;
}

t.test('each connection that a server breaks is in the report, and the others go on', async (t) => {
  const port = await startHostile(t);
  const rounds = 5;
  const args = ['--connections', String(ALL.length * rounds), '--processes', '1', '--insecure'];
  const target = ['bench', '--tls', '--target', `127.0.0.1:${port}`, '--admin', '127.0.0.1:1'];
  const { stdout, stderr } = await run([...target, ...args, '--verify', '--json', '-']);
  const result = JSON.parse(stdout) as BenchResult;
  t.equal(result.failed, IN_HANDSHAKE.length * rounds, stderr);
  t.equal(result.opened, (ALL.length - IN_HANDSHAKE.length) * rounds);
  const unanswered = AFTER_HANDSHAKE.length * rounds;
  t.match(result.verify, { asked: result.opened, answered: 2 * rounds, wrong: 0, unanswered });
  const causes = Object.entries(result.failures);
  t.equal(
    causes.reduce((sum, [, count]) => sum + count, 0),
    result.failed,
    'each failure has a cause',
  );
  for (const [cause] of causes) t.match(cause, /^TLS: \w|^closed by server$/);
});
