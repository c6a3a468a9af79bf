// Faults of a real nats-server, and the breaks and errors of a log of NATS after each.
import { once } from 'node:events';
import { createServer } from 'node:net';

import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import t, { type Test } from 'tap';

import { natsLog, NatsServer } from '../support/nats.js';
import { until } from '../support/helpers.js';
import { LogRecord, Node } from '../support/log-record.js';
import { without } from '../support/requirements.js';
import { TcpProxy } from '../support/tcp-proxy.js';

const skip = without('nats-server');

/** An open log that reads from its start. */
async function open(t: Test, url: string): Promise<Node> {
  const log = natsLog(url);
  t.teardown(() => log.close());
  const record = new LogRecord();
  const node = new Node(log, await log.open(), record);
  log.read(0, record);
  return node;
}

/** One append, whose error is that of the log. */
const appendOnce = (node: Node, text: string): Promise<number> => node.try(text);

/** The position of an entry, appended as soon as the log accepts it. */
async function appended(node: Node, text: string): Promise<number> {
  return until(`an append of ${text}`, () => appendOnce(node, text).catch(() => 0));
}

const epochsOf = ({ record }: Node): bigint[] =>
  record.breaks.flatMap((broken) => (broken.kind === 'epoch' ? [broken.epoch] : []));

/** Waits until all nodes have an entry that is appended now, and returns its position. */
async function reachAll(nodes: readonly Node[], text: string): Promise<number> {
  const [first] = nodes;
  if (first === undefined) throw new Error('no node');
  const seq = await appended(first, text);
  for (const { record } of nodes) await record.reached(seq);
  return seq;
}

async function managed<T>(
  server: NatsServer,
  action: (manager: JetStreamManager) => Promise<T>,
): Promise<T> {
  const connection = await connect({ servers: `127.0.0.1:${server.port}` });
  const result = await action(await jetstreamManager(connection));
  await connection.close();
  return result;
}

t.test(
  'after SIGSTOP of the server publishers get an error, and then all goes on',
  { skip },
  async (t) => {
    const server = await NatsServer.start(t);
    const node = await open(t, server.url);
    await node.append('before');
    await server.suspend();
    // The server may take one append before the signal arrives.
    const error = await until('an error', () =>
      appendOnce(node, 'meanwhile').then(() => null, String),
    );
    t.match(error, /^MegacometError: engine: the append failed: /);
    await until('the break', () => node.record.kinds.includes('down'));
    t.match(node.record.breaks, [{ kind: 'down', reason: /the server does not answer|is silent/ }]);
    server.signal('SIGCONT');
    const seq = await appended(node, 'after');
    await node.record.reached(seq);
    t.same(node.record.texts.filter((text) => text !== 'meanwhile').slice(0, 2), [
      'before',
      'after',
    ]);
    t.same(epochsOf(node), [], 'the same epoch');
  },
);

t.test('a server that returns with its store keeps epoch and positions', { skip }, async (t) => {
  const server = await NatsServer.start(t);
  const nodes = [await open(t, server.url), await open(t, server.url)];
  const first = await reachAll(nodes, 'before');
  await server.kill();
  for (const { record } of nodes) await until('the break', () => record.kinds.includes('down'));
  await server.run();
  const seq = await reachAll(nodes, 'after');
  t.ok(seq > first);
  for (const node of nodes) {
    t.same(epochsOf(node), []);
    t.equal(node.record.texts[0], 'before');
    t.equal(node.record.texts.at(-1), 'after');
    await until('the end of the break', () => node.log.counters.reconnects >= 1);
  }
});

t.test('a server that returns empty begins one epoch above all positions', { skip }, async (t) => {
  const server = await NatsServer.start(t);
  const nodes = [await open(t, server.url), await open(t, server.url), await open(t, server.url)];
  await nodes[1]?.append('one');
  const last = await reachAll(nodes, 'two');
  await server.kill();
  server.empty();
  await server.run();
  const seq = await reachAll(nodes, 'new');
  t.ok(seq > last, 'above the positions of the old epoch');
  const [epochs] = nodes.map(epochsOf);
  t.equal(epochs?.length, 1, 'one epoch');
  for (const node of nodes) {
    t.same(epochsOf(node), epochs, 'the same one at all nodes');
    t.match(
      node.record.breaks.filter(({ kind }) => kind === 'epoch'),
      [{ lastSeq: 0 }],
      'no entry of the old epoch exists',
    );
    t.same(node.record.texts.slice(0, 2), ['one', 'two']);
  }
  const fresh = await open(t, server.url);
  t.equal(fresh.start.epoch, epochs?.[0]);
  t.equal(fresh.start.head, seq);
  await fresh.record.reached(seq);
  t.same(fresh.record.breaks, []);
});

t.test('a store that is restored from an old copy begins an epoch', { skip }, async (t) => {
  const server = await NatsServer.start(t);
  const nodes = [await open(t, server.url), await open(t, server.url)];
  const kept = await reachAll(nodes, 'kept');
  await server.kill();
  const restore = server.copy();
  await server.run();
  const lost = await reachAll(nodes, 'lost');
  await server.kill();
  restore();
  await server.run();
  const seq = await reachAll(nodes, 'new');
  t.ok(seq > lost);
  const [epochs] = nodes.map(epochsOf);
  t.equal(epochs?.length, 1);
  for (const node of nodes) {
    t.same(epochsOf(node), epochs);
    const [broken] = node.record.breaks.filter(({ kind }) => kind === 'epoch');
    t.ok(broken?.kind === 'epoch' && broken.lastSeq >= kept && broken.lastSeq < lost);
  }
  const fresh = await open(t, server.url);
  await fresh.record.reached(seq);
  t.notOk(fresh.record.texts.includes('lost'));
  t.same(fresh.record.breaks, [], 'entries of both epochs have increasing positions');
});

t.test('a stream that is deleted under its readers is made anew', { skip }, async (t) => {
  const server = await NatsServer.start(t);
  const nodes = [await open(t, server.url), await open(t, server.url)];
  const last = await reachAll(nodes, 'before');
  await managed(server, (manager) => manager.streams.delete('megacomet'));
  const seq = await reachAll(nodes, 'after');
  t.ok(seq > last);
  const [epochs] = nodes.map(epochsOf);
  t.equal(epochs?.length, 1);
  for (const node of nodes) t.same(epochsOf(node), epochs);
});

t.test('messages of other programs and of other streams do not count', { skip }, async (t) => {
  const server = await NatsServer.start(t);
  const node = await open(t, server.url);
  await node.append('one');
  const connection = await connect({ servers: `127.0.0.1:${server.port}` });
  connection.publish('megacomet', 'of another program');
  await connection.flush();
  await connection.close();
  const seq = await node.append('two');
  await node.record.reached(seq);
  t.same(node.record.texts, ['one', 'two']);
  t.same(node.record.breaks, []);
  const fresh = await open(t, server.url);
  t.equal(fresh.start.epoch, node.start.epoch);
});

t.test(
  'a reader that was cut off while the stream was trimmed gets one gap',
  { skip },
  async (t) => {
    const server = await NatsServer.start(t);
    const proxy = await TcpProxy.start(t, server.port);
    const writer = await open(t, server.url);
    const reader = await open(t, `nats://127.0.0.1:${proxy.port}`);
    const seen = await reachAll([writer, reader], 'seen');
    proxy.isHolding = true;
    await until('the break', () => reader.record.kinds.includes('down'));
    const gone = [await writer.append('gone'), await writer.append('gone')];
    const kept = await writer.append('kept');
    // One message more than positions: the first one begins the epoch.
    await managed(server, (manager) => manager.streams.purge('megacomet', { seq: kept + 1 }));
    proxy.isHolding = false;
    await reader.record.reached(kept);
    t.same(
      reader.record.breaks.filter(({ kind }) => kind === 'gap'),
      [{ kind: 'gap', after: seen, to: gone[1] }],
    );
    t.same(reader.record.texts, ['seen', 'kept']);
    t.same(epochsOf(reader), []);
  },
);

t.test('an append whose answer was lost is in the log once', { skip }, async (t) => {
  const server = await NatsServer.start(t);
  const proxy = await TcpProxy.start(t, server.port);
  const witness = await open(t, server.url);
  const node = await open(t, `nats://127.0.0.1:${proxy.port}`);
  await node.append('before');
  const found = await until('an append that succeeds after all', async () => {
    await appended(node, 'again up');
    proxy.losesAnswers = true;
    const text = `append ${node.ids.length}`;
    const append = appendOnce(node, text).catch(() => 0);
    await until('its entry', () => witness.record.texts.includes(text));
    // A machine that is busy may be later than the time of an append.
    await until('the second try', () => node.log.counters.appendRetries > 0);
    proxy.losesAnswers = false;
    proxy.cut();
    const seq = await append;
    return seq === 0 ? null : { seq, text };
  });
  const last = await appended(node, 'after');
  await witness.record.reached(last);
  await node.record.reached(last);
  const { texts, seqs } = witness.record;
  const tries = texts.filter((text) => text.startsWith('append '));
  t.equal(new Set(tries).size, tries.length, 'each entry once');
  t.equal(seqs[texts.indexOf(found.text)], found.seq, 'the position of the first');
  t.same(node.record.texts, texts);
});

t.test('a reader that is too slow for the feed gets all entries later', { skip }, async (t) => {
  const server = await NatsServer.start(t);
  const proxy = await TcpProxy.start(t, server.port);
  const writer = await open(t, server.url);
  const reader = await open(t, `nats://127.0.0.1:${proxy.port}`);
  await reachAll([writer, reader], 'before');
  proxy.isHolding = true;
  const seqs: number[] = [];
  for (let index = 0; index < 20; index += 1) {
    seqs.push(await writer.append(Buffer.alloc(500_000, index)));
  }
  proxy.isHolding = false;
  await reader.record.reached(seqs.at(-1));
  t.same(reader.record.seqs.slice(1), seqs, 'each once, in order');
  t.same(
    reader.record.breaks.filter(({ kind }) => kind === 'gap' || kind === 'epoch'),
    [],
  );
});

t.test('another server on the port is not taken for the log', { skip }, async (t) => {
  const server = await NatsServer.start(t);
  const node = await open(t, server.url);
  await node.append('before');
  await server.kill();
  const other = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.end('HTTP/1.1 400 Bad Request\r\n\r\n');
  });
  await once(other.listen(server.port, '127.0.0.1'), 'listening');
  await until('the break', () => node.record.kinds.includes('down'));
  await t.rejects(appendOnce(node, 'meanwhile'), { code: 'ERR_LOG', message: /^engine: [^\n]+$/ });
  other.close();
  const plain = await NatsServer.start(t, { port: server.port, hasJetStream: false });
  await t.rejects(appendOnce(node, 'meanwhile'), { code: 'ERR_LOG', message: /^engine: [^\n]+$/ });
  await plain.kill();
  await server.run();
  const seq = await appended(node, 'after');
  await node.record.reached(seq);
  t.same(node.record.texts, ['before', 'after']);
  t.same(epochsOf(node), []);
});

t.test('a permission that is withdrawn fails appends with its words', { skip }, async (t) => {
  const permissions = (allowed: string): string =>
    `authorization { users = [ { user: app, password: secret, permissions: { publish: ["$JS.API.>", "$JS.FC.>"${allowed}], subscribe: "_INBOX.>" } } ] }`;
  const server = await NatsServer.start(t, { lines: [permissions(', "megacomet"')] });
  const login = (): { password: string; credentials: null } => ({
    password: 'secret',
    credentials: null,
  });
  const log = natsLog(server.url.replace('//', '//app@'), { access: { login, ca: null } });
  t.teardown(() => log.close());
  const record = new LogRecord();
  const node = new Node(log, await log.open(), record);
  log.read(0, record);
  await node.append('allowed');
  server.configure([permissions('')]);
  await until('the refusal', () =>
    appendOnce(node, 'denied').then(
      () => false,
      (error: unknown) => /Permissions Violation/.test((error as Error).message),
    ),
  );
  t.ok(log.counters.appendErrors >= 1);
});
