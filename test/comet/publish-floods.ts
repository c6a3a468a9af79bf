// Publishing over HTTP to a whole server with bodies that are too large, too deep or endless, and
// by several publishers at once: no other client waits, and all subscribers see one order.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';

import {
  CLIENTS,
  startComet,
  StreamClient,
  WebSocketClient,
  type World,
} from '../support/comet-world.js';
import { TestServer, until } from '../support/helpers.js';

const TOKEN = '0123456789-abcdefghij';
const NDJSON = 'application/x-ndjson';
const JSON_TYPE = 'application/json';

interface Site {
  readonly server: TestServer;
  readonly publish: (body: string, type?: string) => Promise<Response>;
  /** Starts a publish request without its body. */
  readonly begin: (length: number | null, type?: string) => Socket;
}

async function start(t: Test): Promise<Site> {
  const folder = mkdtempSync(join(tmpdir(), 'megacomet-floods-'));
  const file = join(folder, 'token');
  writeFileSync(file, `${TOKEN}\n`, { mode: 0o600 });
  t.teardown(() => {
    rmSync(folder, { recursive: true });
  });
  const args = [
    '--protocol',
    'comet',
    '--host',
    '127.0.0.1',
    '--workers',
    '2',
    '--history-count',
    '1000',
  ];
  const server = await TestServer.start(t, { args: [...args, '--admin-token-file', file] });
  const url = `http://127.0.0.1:${server.adminPort}/publish`;
  return {
    server,
    publish: (body, type = JSON_TYPE) =>
      fetch(url, {
        method: 'POST',
        body,
        headers: { Authorization: `Bearer ${TOKEN}`, 'Content-Type': type },
      }),
    begin: (length, type = JSON_TYPE) => {
      const socket = createConnection(server.adminPort, '127.0.0.1').setEncoding('latin1');
      socket.on('error', () => undefined);
      t.teardown(() => {
        socket.destroy();
      });
      const how = length === null ? 'Transfer-Encoding: chunked' : `Content-Length: ${length}`;
      socket.write(
        `POST /publish HTTP/1.1\r\nHost: 127.0.0.1:${server.adminPort}\r\n` +
          `Authorization: Bearer ${TOKEN}\r\nContent-Type: ${type}\r\n${how}\r\n\r\n`,
      );
      return socket;
    },
  };
}

interface Flood {
  answer: string;
  isClosed: boolean;
  /** Bytes of the body that the kernel accepted. */
  sent: number;
}

const REJECTED = /(?:HTTP\/1\.1 |"status":)4(?:00|13)\b/;

/**
 * Sends one piece repeatedly until the connection closes or `most` bytes are sent. Leaves when it is
 * rejected, unless it `ignoresAnswer`.
 */
function flood(socket: Socket, piece: string, most: number, ignoresAnswer = false): Flood {
  const state = { answer: '', isClosed: false, sent: 0 };
  socket.on('data', (text: string) => {
    state.answer += text;
    if (!ignoresAnswer && REJECTED.test(text)) socket.destroy();
  });
  socket.on('close', () => (state.isClosed = true));
  const send = (): void => {
    if (state.isClosed || state.sent >= most) return;
    socket.write(piece, (error) => {
      if (error) return;
      state.sent += piece.length;
      // Reads in between, so that an answer before a reset is not lost.
      setImmediate(send);
    });
  };
  send();
  return state;
}

const deep = (depth: number, shape: string): string => {
  const [opening = '', closing = ''] = shape.split(' ');
  return `{"channel":"a","data":${opening.repeat(depth)}1${closing.repeat(depth)}}`;
};

t.test('JSON of any depth is rejected, and the next message is accepted', async (t) => {
  const { server, publish } = await start(t);
  for (const shape of ['[ ]', '{"a": }', '[{"a": }]']) {
    for (const depth of [33, 1000, 10_000, 100_000]) {
      const { status } = await publish(deep(depth, shape));
      t.ok([400, 413].includes(status), `${depth} of ${shape}: ${status}`);
    }
    // Without the closing brackets, which a recursive parser would never reach.
    const half = await publish(deep(100_000, shape).slice(0, 150_000));
    t.ok([400, 413].includes(half.status));
  }
  const lines = ['[', '{"a":'].map((opening) => `{"channel":"a","data":${opening.repeat(10_000)}`);
  const batch = await publish([...lines, '{"channel":"a","data":"x"}'].join('\n'), NDJSON);
  const answers = (await batch.text()).trim().split('\n');
  t.equal(answers.length, 3, 'a line of a batch is rejected alone');
  t.match(answers[2], /"cursor"/);
  t.equal((await publish('{"channel":"a","data":"x"}')).status, 200);
  await server.stop();
});

t.test('a body of 100 MB is rejected, and others publish meanwhile', async (t) => {
  const { server, publish, begin } = await start(t);
  const huge = 104_857_600;
  const floods = [
    flood(begin(huge), ' '.repeat(65_536), huge, true),
    flood(begin(huge), `{"channel":"a","data":"${'x'.repeat(65_000)}`, huge),
    flood(begin(huge, NDJSON), '{"channel":"b","data":"x"}\n'.repeat(2000), huge),
  ];
  await until('each to be rejected', async () => {
    const [published, health] = await Promise.all([
      publish('{"channel":"a","data":"x"}'),
      server.get('/healthz'),
    ]);
    t.strictSame([published.status, health.status], [200, 200], 'the event loop is not blocked');
    return floods.every(({ answer }) => answer !== '');
  });
  for (const { answer } of floods) t.match(answer, /^HTTP\/1\.1 413 /);
  await until('each to be closed', () => floods.every(({ isClosed }) => isClosed));
  for (const { sent } of floods) t.ok(sent < huge / 2, `after ${sent} bytes`);
  await server.stop();
});

t.test('an endless chunked body is rejected, and others publish meanwhile', async (t) => {
  const { server, publish, begin } = await start(t);
  const piece = 'x'.repeat(16_384);
  const line = '{"channel":"b","data":"x"}\n'.repeat(500);
  const endless = 1_073_741_824;
  const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`;
  const floods = [
    flood(begin(null), chunk(piece), endless),
    flood(begin(null, NDJSON), chunk(piece), endless),
    flood(begin(null, NDJSON), chunk(line), endless),
    flood(begin(null), `3;${piece}`, endless),
  ];
  // A batch of a million lines is published up to its limit: 10 s on an idle machine.
  const areClosed = async (): Promise<boolean> => {
    const published = await publish('{"channel":"a","data":"x"}');
    t.equal(published.status, 200, 'the event loop is not blocked');
    return floods.every(({ isClosed }) => isClosed);
  };
  await until('each to be closed', areClosed, 90_000);
  const [one, long, many, extension] = floods.map(({ answer }) => answer);
  t.match(one, /^HTTP\/1\.1 413 /, 'one message');
  t.match(long, /"status":413|^HTTP\/1\.1 413 /, 'one line');
  t.match(many, /"status":413/, 'a batch');
  t.match(extension, /^HTTP\/1\.1 4(00|13) /, 'an extension of a chunk');
  await server.stop();
});

t.test('a client that sends its body slowly or never blocks no other', async (t) => {
  const { server, publish, begin } = await start(t);
  const sockets = Array.from({ length: 50 }, (_, n) => begin(n % 2 ? 1000 : null));
  for (const socket of sockets) socket.write('{');
  for (let n = 0; n < 20; n++) {
    t.equal((await publish('{"channel":"a","data":"x"}')).status, 200);
    for (const socket of sockets) socket.write(' ');
  }
  for (const socket of sockets) socket.resetAndDestroy();
  t.equal((await server.stats()).messages?.messagesPublishedTotal, 20);
  await server.stop();
});

/** The distinct message orders that the subscribers of a channel saw. */
async function orderOf(
  world: World,
  publishers: readonly ((n: number) => Promise<unknown>)[],
  each: number,
): Promise<readonly string[]> {
  const clients = [...CLIENTS, ...CLIENTS].map((Kind) => new Kind(world, ['a']));
  const patterns = CLIENTS.map((Kind) => new Kind(world, ['a', 'a/*', 'b']));
  for (const client of [...clients, ...patterns]) await client.open();
  await Promise.all(
    publishers.map(async (publish) => {
      for (let n = 0; n < each; n++) await publish(n);
    }),
  );
  const count = publishers.length * each;
  const orders = new Set<string>();
  for (const client of [...clients, ...patterns]) {
    await client.has(count);
    orders.add(client.seen.map(({ cursor, data }) => `${cursor} ${data}`).join('\n'));
    client.close();
  }
  return [...orders];
}

t.test('publishers in parallel make one order, on every transport', async (t) => {
  const { server, publish } = await start(t);
  const world = { server: undefined as never, port: server.port };
  const say = (publisher: string) => async (n: number) =>
    publish(JSON.stringify({ channel: 'a', data: `${publisher}${n}` }));
  const batch = async (n: number): Promise<unknown> =>
    (await publish(JSON.stringify({ channel: 'a', data: `batch${n}` }), NDJSON)).text();
  const orders = await orderOf(world, [say('x'), say('y'), batch], 50);
  t.equal(orders.length, 1, 'one order');
  const seen = (orders[0] ?? '').split('\n').map((line) => line.split(' ')[1] ?? '');
  t.equal(new Set(seen).size, 150, 'each once');
  for (const publisher of ['x', 'y', 'batch']) {
    const own = seen.filter((data) => data.startsWith(publisher));
    t.strictSame(
      own,
      Array.from({ length: 50 }, (_, n) => `${publisher}${n}`),
      `messages of ${publisher} in order`,
    );
  }
  await server.stop();
});

t.test('publishing clients on different workers make one order', async (t) => {
  const unlimited = { clientPublish: true, clientPublishRate: 0, allClientsPublishRate: 0 };
  const world = await startComet(t, { workers: 3, historyCount: 1000, ...unlimited });
  const clients = [1, 2, 3, 4].map(() => new WebSocketClient(world, ['mine']));
  for (const client of clients) await client.open();
  const publishers = clients.map((client, publisher) => (n: number) => {
    client.say({ type: 'publish', channel: 'a', data: `${publisher}/${n}` });
    return new Promise((resolve) => setImmediate(resolve));
  });
  const own = (n: number): Promise<unknown> => world.server.publish('a', `own/${n}`);
  const orders = await orderOf(world, [...publishers, own], 100);
  t.equal(orders.length, 1, 'one order');
  const seen = (orders[0] ?? '').split('\n').map((line) => line.split(' ')[1] ?? '');
  for (const publisher of ['0', '1', '2', '3', 'own']) {
    const numbers = seen
      .filter((data) => data.startsWith(`${publisher}/`))
      .map((data) => data.split('/')[1]);
    t.strictSame(
      numbers,
      Array.from({ length: 100 }, (_, n) => `${n}`),
      `messages of ${publisher} in order`,
    );
  }
  for (const client of clients) client.close();
});

t.test('the whole server rejects duplicate keys and unknown types', async (t) => {
  const { server, publish } = await start(t);
  const good = '{"channel":"a","data":"x"}';
  for (const [body, type, status] of [
    ['{"channel":"a","channel":"b","data":"x"}', JSON_TYPE, 400],
    ['{"channel":"a","data":"x","d\\u0061ta":"y"}', JSON_TYPE, 400],
    ['{"__proto__":{"channel":"a"},"data":"x"}', JSON_TYPE, 400],
    [`\ufeff${good}`, JSON_TYPE, 400],
    [good, 'text/plain', 415],
    [good, 'application/json, text/plain', 415],
    [good, 'application/json;charset=utf-16', 415],
    [good, 'multipart/form-data; boundary=application/json', 415],
    [`${good}\0`, JSON_TYPE, 400],
    ['{"channel":"a","data":"x","id":"a\\u0000b"}', JSON_TYPE, 400],
    ['{"channel":"a","data":"x","event":"a\\rb"}', JSON_TYPE, 400],
    ['{"channel":"a\\u0000","data":"x"}', JSON_TYPE, 400],
    [`{"channel":"${'x'.repeat(10_000)}","data":"x"}`, JSON_TYPE, 400],
  ] as const) {
    const answer = await publish(body, type);
    t.equal(answer.status, status, `${JSON.stringify(body.slice(0, 40))} as ${type}`);
  }
  const client = new StreamClient({ port: server.port }, ['a']);
  await client.open();
  t.equal((await publish(good)).status, 200);
  await client.has(1);
  t.strictSame(client.data, ['x']);
  client.close();
  await server.stop();
});
