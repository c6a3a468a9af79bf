// The protocol of MegaComet's application: cut anywhere, malformed, and over real sockets.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

import fc from 'fast-check';
import t from 'tap';

import { MegacometError } from '../../lib/base/errors.js';
import { Ingest } from '../../lib/api/ingest.js';
import type { DeliveryTarget, IngestOptions } from '../../lib/api/ingest-application.js';
import { IngestFault, IngestParser, type IngestCommand } from '../../lib/api/ingest-parser.js';
import { startComet } from '../support/comet-world.js';
import { closed, TestServer, until } from '../support/helpers.js';
import { deliverCommand as deliver } from '../support/mailbox-peer.js';

const SEED = 20_261_122;
const BOUNDS = { idBytesMax: 20, messageBytesMax: 50 };

/** Parses bytes that arrive in pieces cut at the given offsets. */
function parse(bytes: Buffer, cuts: readonly number[] = []): IngestCommand[] {
  const parser = new IngestParser(BOUNDS);
  const ends = [...new Set([...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])];
  ends.sort((a, b) => a - b);
  const commands: IngestCommand[] = [];
  let start = 0;
  for (const end of ends) {
    const piece = Buffer.from(bytes.subarray(start, end));
    parser.feed(piece);
    for (let command = parser.next(); command !== null; command = parser.next()) {
      commands.push(command);
    }
    start = end;
  }
  if (parser.isInside) throw new Error('the last command is incomplete');
  return commands;
}

const noZero = (maxLength: number, minLength = 0): fc.Arbitrary<Buffer> =>
  fc
    .array(fc.integer({ min: 1, max: 255 }), { minLength, maxLength, size: 'max' })
    .map((bytes) => Buffer.from(bytes));
const anyCommand: fc.Arbitrary<IngestCommand> = fc.oneof(
  fc.record({ name: fc.constant('announce' as const), number: fc.nat(255) }),
  fc.record({
    name: fc.constant('deliver' as const),
    id: noZero(BOUNDS.idBytesMax, 1),
    message: noZero(BOUNDS.messageBytesMax),
  }),
);

t.test('every command is parsed as it was sent, wherever the stream is cut', (t) => {
  fc.assert(
    fc.property(
      fc.array(anyCommand, { maxLength: 20 }),
      fc.array(fc.nat(2000), { maxLength: 20 }),
      (commands, cuts) => {
        const bytes = Buffer.concat(
          commands.map((command) =>
            command.name === 'announce'
              ? Buffer.of(1, command.number)
              : deliver(command.id, command.message),
          ),
        );
        const found = parse(bytes, cuts);
        const everyByte = parse(bytes, [...bytes.keys()]);
        const shown = JSON.stringify(commands);
        return JSON.stringify(found) === shown && JSON.stringify(everyByte) === shown;
      },
    ),
    { seed: SEED, numRuns: 500 },
  );
  t.pass('in order, whole');
  t.end();
});

t.test('malformed commands throw IngestFault and nothing else', (t) => {
  const broken: [string, Buffer][] = [
    ['an unknown command', Buffer.of(3)],
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    ['an empty id', Buffer.of(2, 0, 65, 0)],
    ['a long id', deliver('i'.repeat(21), 'x')],
    ['a long id without an end', Buffer.concat([Buffer.of(2), Buffer.alloc(21, 'i')])],
    ['a long message', deliver('i', 'x'.repeat(51))],
    ['a long message without an end', deliver('i', 'x'.repeat(51)).subarray(0, -1)],
    ['a zero between commands', Buffer.concat([deliver('i', 'x'), Buffer.of(0)])],
  ];
  for (const [name, bytes] of broken) {
    t.throws(() => parse(bytes), { name: 'IngestFault' }, name);
    t.throws(() => parse(bytes, [...bytes.keys()]), { name: 'IngestFault' }, `${name}, by bytes`);
  }
  t.equal(parse(deliver('i'.repeat(20), 'x'.repeat(50))).length, 1, 'the longest command is valid');
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const parser = new IngestParser(BOUNDS);
      parser.feed(Buffer.from(bytes));
      try {
        while (parser.next() !== null);
        return true;
      } catch (error) {
        return error instanceof IngestFault;
      }
    }),
    { seed: SEED, numRuns: 2000 },
  );
  t.end();
});

class Inbox implements DeliveryTarget {
  readonly delivered: string[] = [];
  isBusy = false;
  /** Answers of a log to the messages on their way; null without a log. */
  log: ((error: Error | null) => void)[] | null = null;

  deliver(id: string, message: Buffer): Promise<void> | undefined {
    if (this.isBusy) throw new MegacometError('ERR_BUSY', 'busy');
    if (id === 'rejected') throw new MegacometError('ERR_MESSAGE', 'rejected');
    const text = `${id}=${message.toString()}`;
    if (this.log === null) {
      this.delivered.push(text);
      return undefined;
    }
    return new Promise((resolve, reject) => {
      this.log?.push((error) => {
        if (error !== null) reject(error);
        else resolve();
        if (error === null) this.delivered.push(text);
      });
    });
  }
}

interface Line {
  readonly ingest: Ingest;
  readonly inbox: Inbox;
  readonly open: () => Promise<Socket>;
}

async function line(
  test: { teardown(action: () => Promise<void>): void },
  options?: Partial<IngestOptions>,
): Promise<Line> {
  const inbox = new Inbox();
  const ingest = new Ingest(inbox, { messageBytesMax: 65_536, ...options });
  const port = await ingest.listen('127.0.0.1', 0);
  const sockets: Socket[] = [];
  test.teardown(async () => {
    for (const socket of sockets) socket.destroy();
    await ingest.close();
  });
  return {
    ingest,
    inbox,
    open: async () => {
      const socket = connect(port, '127.0.0.1');
      sockets.push(socket);
      socket.on('error', () => undefined);
      await once(socket, 'connect');
      return socket;
    },
  };
}

t.test('an application announces itself and delivers, many messages to a segment', async (t) => {
  const { ingest, inbox, open } = await line(t);
  const socket = await open();
  const wanted = Array.from({ length: 5000 }, (_, index) => `id${index % 7}=message ${index}`);
  const messages = wanted.map((text) => deliver(...(text.split('=') as [string, string])));
  socket.write(Buffer.concat([Buffer.of(1, 3), ...messages]));
  await until('all messages', () => inbox.delivered.length === wanted.length);
  t.same(inbox.delivered, wanted, 'in order');
  t.match(ingest.counters, { connections: 1, announcedTotal: 1, messagesTotal: 5000 });
  socket.end(deliver('last', 'words'));
  await until('the last', () => inbox.delivered.at(-1) === 'last=words');
  await until('the end', () => ingest.counters.connections === 0);
});

t.test('a busy server stops reading, loses nothing and resumes', async (t) => {
  const { ingest, inbox, open } = await line(t, { messageBytesMax: 10_000 });
  const [socket, other] = [await open(), await open()];
  inbox.isBusy = true;
  const count = 3000;
  for (let index = 0; index < count; index++)
    socket.write(deliver('a', `${index} ${'x'.repeat(5000)}`));
  await until('back pressure', () => socket.writableLength > 1_000_000);
  const { writableLength } = socket;
  await new Promise((resolve) => setTimeout(resolve, 100));
  t.equal(socket.writableLength, writableLength, 'it does not read more');
  t.equal(inbox.delivered.length, 0);
  inbox.isBusy = false;
  other.write(deliver('b', 'y'));
  socket.end();
  await until('all messages', () => inbox.delivered.length === count + 1);
  const numbers = inbox.delivered
    .filter((text) => text.startsWith('a='))
    .map((text) => parseInt(text.slice(2)));
  t.same(numbers, [...numbers.keys()], 'each once, in order');
  t.equal(ingest.counters.rejectedTotal, 0);
});

t.test('messages wait for a log together, and those that it did not take go first', async (t) => {
  const { ingest, inbox, open } = await line(t);
  const socket = await open();
  const ended = closed(socket);
  inbox.log = [];
  socket.write(Buffer.concat(['1', '2', '3'].map((text) => deliver('a', text))));
  await until('all three on their way', () => inbox.log?.length === 3);
  socket.write(Buffer.concat([deliver('a', '4'), Buffer.of(9)]));
  for (const settle of inbox.log.splice(0)) settle(new MegacometError('ERR_LOG', 'down'));
  await until('all three again', () => inbox.log?.length === 3);
  t.same(inbox.delivered, [], 'it does not read more meanwhile');
  for (const settle of inbox.log.splice(0)) settle(null);
  await until('the fourth', () => inbox.log?.length === 1);
  await ended;
  for (const settle of inbox.log.splice(0)) settle(null);
  await until('the last answer', () => ingest.counters.messagesTotal === 4);
  t.same(inbox.delivered, ['a=1', 'a=2', 'a=3', 'a=4']);
  t.match(ingest.counters, { faultsTotal: 1, rejectedTotal: 0 });
});

t.test('a complete message is accepted although its connection has closed', async (t) => {
  const { ingest, inbox, open } = await line(t);
  inbox.isBusy = true;
  const socket = await open();
  socket.write(Buffer.concat([deliver('a', '1'), deliver('a', '2'), deliver('a', '3')]));
  await new Promise((resolve) => setTimeout(resolve, 50));
  socket.resetAndDestroy();
  await new Promise((resolve) => setTimeout(resolve, 50));
  inbox.isBusy = false;
  await until('all three', () => inbox.delivered.length === 3);
  t.same(inbox.delivered, ['a=1', 'a=2', 'a=3']);
  await until('the end', () => ingest.counters.connections === 0);
});

t.test('an invalid id is ignored; a malformed command closes the connection', async (t) => {
  const { ingest, inbox, open } = await line(t);
  const socket = await open();
  const bad = [' a', 'a*', 'a\n', Buffer.of(0xff), 'rejected', Buffer.from('a\u0085')];
  socket.write(Buffer.concat([...bad.map((id) => deliver(id, 'x')), deliver('good', 'x')]));
  await until('the good one', () => inbox.delivered.length === 1);
  t.match(ingest.counters, { rejectedTotal: bad.length, messagesTotal: 1, faultsTotal: 0 });
  socket.write(Buffer.of(9));
  await closed(socket);
  const second = await open();
  second.write(Buffer.concat([deliver('good', 'y'), Buffer.from('GET / HTTP/1.1\r\n\r\n')]));
  await closed(second);
  t.same(inbox.delivered, ['good=x', 'good=y'], 'commands before the malformed one count');
  t.match(ingest.counters, { faultsTotal: 2 });
});

t.test(
  'a timeout inside a command closes the connection; silence between commands does not',
  async (t) => {
    const { ingest, inbox, open } = await line(t, { insideTimeoutMs: 50 });
    const [silent, half] = [await open(), await open()];
    silent.write(deliver('a', '1'));
    half.write(deliver('b', '1').subarray(0, -1));
    await closed(half);
    await until('one connection to be left', () => ingest.counters.connections === 1);
    t.equal(ingest.counters.faultsTotal, 1);
    await new Promise((resolve) => setTimeout(resolve, 150));
    silent.write(deliver('a', '2'));
    await until('the second', () => inbox.delivered.length === 2);
    t.same(inbox.delivered, ['a=1', 'a=2']);
  },
);

t.test('a byte now and then does not keep an incomplete command without end', async (t) => {
  const { ingest, inbox, open } = await line(t, { insideTimeoutMs: 300 });
  const [slow, steady] = [await open(), await open()];
  slow.write(deliver('a', 'x').subarray(0, -1));
  steady.write(Buffer.of(2));
  for (let sent = 0; sent < 12 || !slow.closed; sent++) {
    slow.write('x');
    // A whole command in the middle of another one restarts the time.
    steady.write(Buffer.concat([deliver('b', String(sent)).subarray(1), Buffer.of(2)]));
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  t.equal(ingest.counters.faultsTotal, 1, 'the time counts from the first byte of the command');
  t.ok(inbox.delivered.length > 5, 'a sender of whole commands stays');
});

t.test('an address in use is reported in one sentence', async (t) => {
  const ingest = new Ingest(new Inbox(), { messageBytesMax: 65_536 });
  const port = await ingest.listen('127.0.0.1', 0);
  const second = new Ingest(new Inbox(), { messageBytesMax: 65_536 });
  await t.rejects(second.listen('127.0.0.1', port), {
    code: 'ERR_LISTEN',
    message: `cannot listen on --ingest 127.0.0.1:${port} (EADDRINUSE)`,
  });
  await ingest.close();
  await ingest.close();
  await second.close();
});

t.test('a server accepts messages on --ingest, and its clients fetch them', async (t) => {
  const world = await startComet(t, { ingest: '127.0.0.1:0', messageBytes: 1000 });
  const { server } = world;
  const application = connect(server.ingestPort ?? 0, '127.0.0.1');
  t.teardown(() => application.destroy());
  const fetchOne = async (id: string): Promise<string> =>
    (await fetch(`http://127.0.0.1:${world.port}/${encodeURIComponent(id)}.js`)).text();
  const early = fetchOne('Bob');
  await until('the poll', () => server.stats().mailboxes?.polls === 1);
  application.write(Buffer.concat([Buffer.of(1, 0), deliver('Jim', 'Hi'), deliver('Bob', 'Bye')]));
  t.equal(await early, 'Bye', 'a poll that already waits');
  t.equal(await fetchOne('Jim'), 'Hi', 'a later poll');
  application.write(Buffer.concat([deliver('grüß', 'x'.repeat(1000)), deliver('a*', 'no')]));
  t.equal((await fetchOne('grüß')).length, 1000);
  const { ingest } = server.stats();
  t.match(ingest, { connections: 1, announcedTotal: 1, messagesTotal: 3, rejectedTotal: 1 });
  application.write(deliver('Jim', 'y'.repeat(1001)));
  await closed(application);
  t.match(server.stats().ingest, { connections: 0, faultsTotal: 1 });
  await server.close();
  const late = connect(server.ingestPort ?? 0, '127.0.0.1');
  const [error] = (await once(late, 'error')) as [NodeJS.ErrnoException];
  t.equal(error.code, 'ECONNREFUSED', 'it ends with the server');
});

t.test('a mistake in --ingest ends the start with one sentence', async (t) => {
  const first = await startComet(t, { ingest: '127.0.0.1:0' });
  const port = first.server.ingestPort ?? 0;
  const cases: [string, { code: string; message: RegExp }][] = [
    ['9000', { code: 'ERR_OPTION_INVALID', message: /^ingest: "9000" is not a numeric HOST:PORT/ }],
    ['unix:/tmp/x', { code: 'ERR_OPTION_INVALID', message: /^ingest: "unix:/ }],
    [`127.0.0.1:${port}`, { code: 'ERR_LISTEN', message: /--ingest .* \(EADDRINUSE\)$/ }],
  ];
  for (const [ingest, wanted] of cases) await t.rejects(startComet(t, { ingest }), wanted, ingest);
  await t.rejects(startComet(t, { ingest: '127.0.0.1:0', protocol: 'echo' }), {
    code: 'ERR_OPTION_INVALID',
    message: 'createServer: ingest: "127.0.0.1:0" needs --protocol comet',
  });
});

t.test('an address that other machines can reach logs a warning', async (t) => {
  const warning =
    /--ingest listens beyond loopback: any host that reaches it can send to every client/;
  const args = ['--protocol', 'comet', '--host', '127.0.0.1', '--ingest', '0.0.0.0:0'];
  const server = await TestServer.start(t, { args, expectLog: [warning] });
  t.ok(await server.logged(warning));
  const line = server.log.find(({ msg }) => msg.startsWith('listening on'));
  t.type(line?.['ingestPort'], 'number', 'the first line names the port');
  await server.stop();
  const quiet = ['--protocol', 'comet', '--ingest', '[::1]:0'];
  const loopback = await TestServer.start(t, { args: quiet });
  t.notOk(
    loopback.log.some(({ msg }) => warning.test(msg)),
    'loopback logs none',
  );
  await loopback.stop();
});
