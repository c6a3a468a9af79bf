// --history-dir: acknowledged messages survive a kill of the manager, one server uses a directory at a
// time, and a full disk stops publishers but not subscribers.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import t, { type Test } from 'tap';

import { CLIENTS, Program, SseClient, subscribeAll, type Client } from '../support/comet-world.js';
import { run, until, type StartOptions } from '../support/helpers.js';
import { without } from '../support/requirements.js';

const SMALL = ['--host', '127.0.0.1', '--workers', '2', '--max-connections', '100'];

function folderFor(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'megacomet-history-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function start(t: Test, directory: string, options: StartOptions = {}): Promise<Program> {
  const args = [...SMALL, '--history-dir', directory, ...(options.args ?? [])];
  return Program.start(t, { ...options, args });
}

/** Publishes from several connections until the server is gone; keeps the acknowledged messages. */
class Publishers {
  readonly acknowledged: string[] = [];
  #isOver = false;
  readonly #ended: Promise<unknown>;

  constructor(program: Program, prefix: string) {
    const publish = async (name: number): Promise<void> => {
      for (let index = 0; !this.#isOver; index += 1) {
        const data = `${prefix} ${name} ${index}`;
        const status = await program.publish('a', data).catch(() => 0);
        if (status === 200) this.acknowledged.push(data);
      }
    };
    this.#ended = Promise.all([1, 2, 3].map(publish));
  }

  async end(): Promise<void> {
    this.#isOver = true;
    await this.#ended;
  }
}

/** Clients of the same kinds, which have the messages and cursors of others. */
async function resumed(program: Program, before: readonly Client[]): Promise<Client[]> {
  const clients = CLIENTS.map((Kind) => new Kind(program, ['a']));
  for (const [index, client] of clients.entries()) {
    client.cursor = before[index]?.cursor ?? '';
    client.seen.push(...(before[index]?.seen ?? []));
    await client.open();
  }
  return clients;
}

for (const sync of ['group', '20']) {
  t.test(`acknowledged messages survive a kill of the manager, sync ${sync}`, async (t) => {
    const directory = join(folderFor(t), 'history');
    const args = ['--history-sync', sync, '--history-count', '10000'];
    let program = await start(t, directory, { args });
    let clients = await subscribeAll(program);
    const publishers = new Publishers(program, 'before');
    await until('messages', () => clients.every(({ seen }) => seen.length >= 30));
    // One client is away while messages are published.
    clients[0]?.close();
    const count = publishers.acknowledged.length + 20;
    await until('more messages', () => publishers.acknowledged.length >= count);
    program.server.child.kill('SIGKILL');
    await publishers.end();
    for (const client of clients) client.close();
    await program.server.assertEnded(null);
    program = await start(t, directory, { args });
    clients = await resumed(program, clients);
    t.equal(await program.publish('a', 'after'), 200);
    const acknowledged = [...publishers.acknowledged, 'after'];
    await until('the last', () => clients.every(({ data }) => data.at(-1) === 'after'));
    const [first] = clients;
    for (const client of clients) {
      t.equal(client.lost, 0, 'recovered');
      t.same(client.data, first?.data, 'all clients have the same messages in the same order');
      t.equal(new Set(client.data).size, client.data.length, 'each once');
    }
    const seen = new Set(first?.data);
    t.same(
      acknowledged.filter((data) => !seen.has(data)),
      [],
      'every acknowledged message',
    );
    for (const client of clients) client.close();
    await program.server.stop();
    const verified = await run(['history', 'verify', directory]);
    t.equal(verified.code, 0, verified.stdout);
  });
}

t.test('a second server on a directory does not start, and the first serves on', async (t) => {
  const directory = join(folderFor(t), 'history');
  const program = await start(t, directory);
  const second = await run([
    ...['serve', '--protocol', 'comet', ...SMALL, '--port', '0', '--admin-port', '0'],
    ...['--history-dir', directory],
  ]);
  t.equal(second.code, 1);
  t.equal(
    second.stderr.trim(),
    `megacomet-ts: history-dir: "${directory}" is in use by another server`,
  );
  t.equal(await program.publish('a', 'x'), 200);
  await program.server.stop();
});

t.test('options and directories that cannot be used are errors of one sentence', async (t) => {
  const folder = folderFor(t);
  const file = join(folder, 'file');
  writeFileSync(file, '');
  writeFileSync(join(folder, '0000000000000001.log'), 'something else'.repeat(10));
  const comet = ['--protocol', 'comet', ...SMALL, '--port', '0', '--admin-port', '0'];
  const rows: [args: string[], message: RegExp, code?: number][] = [
    [['--history-dir', folder], /--history-dir: .* needs --protocol comet/, 2],
    [[...comet, '--history-sync', 'always'], /--history-sync: "always" needs --history-dir/, 2],
    [
      [...comet, '--history-dir', folder, '--history-sync', '0'],
      /history-sync: 0 is not group, always, or milliseconds from 1 to 60000/,
      2,
    ],
    [[...comet, '--history-dir', file], /history-dir: ".*" is not a directory/],
    [[...comet, '--history-dir', join(folder, 'a/b')], /history-dir: ".*" cannot be used: no such/],
    [[...comet, '--history-dir', folder], /history-dir: ".*" is not a segment of a history: move/],
  ];
  for (const [args, message, wanted = 1] of rows) {
    const { code, stderr } = await run(['serve', ...args]);
    t.equal(code, wanted, args.join(' '));
    t.match(stderr, message);
    t.equal(stderr.trim().split('\n').length, 1, stderr);
  }
});

t.test(
  'a full disk rejects publishers with 503 while subscribers stay',
  { skip: without('root', 'namespaces') },
  async (t) => {
    const directory = folderFor(t);
    const mount = 'mount -t tmpfs -o size=512k none "$0" && head -c 262144 /dev/zero > "$0/filler"';
    const program = await start(t, directory, {
      through: ['unshare', '--mount', 'sh', '-c', `${mount} && exec "$@"`, directory],
      expectLog: [/^the log of the messages is not available$/],
    });
    const client = new SseClient(program, ['a']);
    t.teardown(() => client.close());
    await client.open();
    let published = 0;
    const answer = await until('a full disk', async () => {
      const response = await program.request('/publish', {
        channel: 'a',
        data: 'x'.repeat(50_000),
      });
      if (response.status !== 200) return response;
      published += 1;
      await response.arrayBuffer();
      return null;
    });
    t.equal(answer.status, 503);
    t.ok(Number(answer.headers.get('retry-after')) >= 1);
    t.match(await answer.json(), { code: 'ERR_LOG', error: /no space left on the device/ });
    await client.has(published);
    t.ok(client.isOpen, 'the subscriber stays');
    t.match(await (await program.server.get('/metrics')).text(), /^megacomet_log_down 1$/m);
    rmSync(`/proc/${program.server.pid}/root${directory}/filler`);
    await until('room', async () => (await program.publish('a', 'after')) === 200);
    await until('the message', () => client.data.at(-1) === 'after');
    t.equal(client.seen.length, published + 1, 'each acknowledged message once');
    t.equal(client.lost, 0);
    await program.server.stop();
  },
);
