// The clients of the cluster suite against a server that cuts its answers anywhere.
import { createServer, type AddressInfo, type Socket } from 'node:net';

import t, { type Test } from 'tap';

import { PipelinedPosts } from '../../bench/cluster-posts.js';
import { ClusterSubscriber, numbered } from '../../bench/cluster-subscriber.js';
import { until } from '../support/helpers.js';

const MESSAGE_BYTES = 40;
const COUNT = 50;

/** Listens until the test ends. @returns The port. */
async function listen(test: Test, onSocket: (socket: Socket) => void): Promise<number> {
  const server = createServer((socket) => {
    socket.setNoDelay().on('error', () => undefined);
    onSocket(socket);
  });
  test.teardown(() => server.close());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

/** Writes a text in pieces of a few bytes, each of which is sent alone. */
async function writeCut(socket: Socket, text: string, bytes: number): Promise<void> {
  for (let at = 0; at < text.length; at += bytes) {
    await new Promise((resolve) => socket.write(text.slice(at, at + bytes), resolve));
  }
}

t.test('a subscriber reads each message once, wherever the stream is cut', async (test) => {
  const events = Array.from(
    { length: COUNT },
    (_, number) => `id: ${number}\ndata: ${numbered(number, MESSAGE_BYTES)}\n\n`,
  );
  for (const bytes of [1, 7, 64, 100_000]) {
    const sockets: Socket[] = [];
    const port = await listen(test, (socket) => sockets.push(socket));
    const subscriber = new ClusterSubscriber(port, { hello: () => 'hello', reply: null });
    const arrivals = subscriber.record();
    const socket = await until('a connection', () => sockets[0]);
    await writeCut(socket, events.join(''), bytes);
    await until('all messages', () => arrivals.length === COUNT);
    test.equal(subscriber.received, COUNT, `pieces of ${bytes} bytes`);
    test.same(
      arrivals.map(({ number }) => number),
      events.map((_, number) => number),
    );
    subscriber.end();
  }
});

t.test('a subscriber that lost its connection sends its last id', async (test) => {
  const hellos: string[] = [];
  const port = await listen(test, (socket) => {
    socket.once('data', (bytes) => {
      hellos.push(bytes.toString());
      socket.end(`id: 17\ndata: ${numbered(1, MESSAGE_BYTES)}\n\n`);
    });
  });
  const subscriber = new ClusterSubscriber(port, { hello: (id) => `<${id}>`, reply: null });
  subscriber.record();
  await until('a second connection', () => hellos.length > 1);
  subscriber.end();
  test.same(hellos.slice(0, 2), ['<>', '<17>']);
});

t.test(
  'pipelined posts count the accepted messages, wherever the answers are cut',
  async (test) => {
    const answers = ['201 Created', '503 Service Unavailable', '202 Accepted'].map(
      (status) => `HTTP/1.1 ${status}\r\nContent-Length: 2\r\n\r\nok`,
    );
    for (const bytes of [1, 7, 100_000]) {
      const port = await listen(test, (socket) => {
        socket.once('data', () => void writeCut(socket, answers.join(''), bytes));
      });
      const posts = new PipelinedPosts(port);
      test.equal(await posts.send(['a', 'b', 'c'], ['x', 'y', 'z']), 2, `pieces of ${bytes} bytes`);
      await posts.close();
    }
  },
);

t.test('pipelined posts without an answer count as rejected', async (test) => {
  const port = await listen(test, (socket) => {
    socket.once('data', () => socket.destroy());
  });
  const posts = new PipelinedPosts(port);
  test.equal(await posts.send(['a'], ['x']), 0);
  await posts.close();
});
