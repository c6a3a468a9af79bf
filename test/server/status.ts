// `megacomet-ts status` at a terminal.
import t from 'tap';
import { readFileSync } from 'node:fs';

import { formatStatus } from '../../lib/cli/commands/status.js';
import { Clients, Command, run, TestServer, until } from '../support/helpers.js';

const HEADER = /^slot +pid +state +connections +accepted\/s +echoed\/s +lag +memory$/m;

function admin(server: TestServer): string[] {
  return ['--admin', `127.0.0.1:${server.adminPort}`];
}

t.test('status prints a table of the workers, and the totals', async (t) => {
  const server = await TestServer.start(t, { args: ['--workers', '2'] });
  const clients = await Clients.open(t, server.port, 30);
  await clients.answering();
  const { code, stdout, stderr } = await run(['status', ...admin(server)]);
  t.same([code, stderr], [0, ''], 'it ends well');
  t.match(
    stdout,
    new RegExp(`^megacomet-ts \\S+ on \\[::\\]:${server.port}, up \\d+ s\n`),
    'title',
  );
  t.match(stdout, HEADER, 'header');
  const rows = stdout.split('\n').filter((line) => / serving /.test(line));
  const workers = (await server.stats()).workers;
  t.equal(rows.length, 2, 'a row for each worker');
  rows.forEach((row, slot) => {
    const cells = row.trim().split(/ {2,}/);
    const worker = workers[slot];
    const wanted = [slot, worker?.pid, 'serving', worker?.['connections']].map(String);
    t.same(cells.slice(0, 4), wanted, `the row of worker ${slot} is right`);
    t.match(cells.at(-1), /^\d+\.\d MB$/, 'its memory has a unit');
  });
  t.equal(new Set(rows.map((row) => row.length)).size, 1, 'the columns are aligned');
  t.match(stdout, /^protocol {5}echo$/m, 'the protocol');
  t.match(stdout, /^workers {6}2 of 2 serving, 0 restarts$/m, 'restarts');
  t.match(stdout, /^connections {2}30 of \d+$/m, 'connections and their limit');
  t.match(stdout, /^accepted {5}30, rejected 0, failed 0$/m, 'accepted connections');
  t.match(stdout, /^memory {7}\d+\.\d MB private, -?\d+ bytes per connection$/m, 'memory');
  await server.stop();
});

t.test('status of a comet server shows its messages', async (t) => {
  const server = await TestServer.start(t, { args: ['--protocol', 'comet', '--workers', '1'] });
  const { stdout } = await run(['status', ...admin(server)]);
  for (const line of [
    /^protocol {5}comet$/m,
    /^messages {5}0 published, 0 delivered, 0 busy$/m,
    /^subscribers {2}0 of 0 channels$/m,
    /^resumed {6}0 messages replayed, 0 gaps$/m,
    /^history {6}0 messages, \d+\.\d MB, 0 evicted$/m,
    /^rejected {5}0 requests, 0 without an admin token$/m,
    / delivered\/s /,
  ]) {
    t.match(stdout, line);
  }
  const stats = await server.stats();
  const narrow = formatStatus({ stats, atMs: 0 }, undefined, 40);
  const [, , header = ''] = narrow.split('\n');
  t.ok(header.length <= 40 && header.includes('connections'), header);
  await server.stop();
});

t.test('status --json prints the answer of /stats', async (t) => {
  const server = await TestServer.start(t);
  await Clients.open(t, server.port, 3);
  await until('all to be counted', async () => (await server.total('connections')) === 3);
  const { code, stdout } = await run(['status', '--json', ...admin(server)]);
  t.equal(code, 0, 'exit code');
  const stats = JSON.parse(stdout) as Awaited<ReturnType<TestServer['stats']>>;
  t.same(Object.keys(stats), Object.keys(await server.stats()), 'every field');
  t.equal(stats.totals['connections'], 3, 'and the values');
  await server.stop();
});

/** The newest child of a process, or 0: `script` starts a shell that becomes the command. */
function childOf(pid: number): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
  return Number(children.at(-1) ?? 0);
}

t.test('status --watch draws in place, with the rates of the last second', async (t) => {
  const server = await TestServer.start(t, { args: ['--workers', '1'] });
  const clients = await Clients.open(t, server.port, 5);
  // A pseudo terminal; bounded, in case that it is not interrupted.
  const command = 'stty cols 100 rows 40; exec timeout --foreground 30 $*';
  const terminal = `exec script -qfec "${command}" /dev/null`;
  const watch = new Command(['status', '--watch', ...admin(server)], {
    through: ['sh', '-c', terminal, 'sh'],
  });
  t.teardown(() => void watch.child.kill('SIGKILL'));
  const redraw = '\u001b[2K\u001b[1A';
  await until('the first picture', () => HEADER.test(watch.stdout.replaceAll('\r', '')));
  let echoes = 0;
  await until('rates in three further pictures', async () => {
    echoes += await clients.answering();
    const pictures = watch.stdout.replaceAll('\r', '').split(redraw);
    const moving = pictures.filter((text) => / serving +5 +0 +[1-9]\d* /.test(text));
    return moving.length >= 3;
  });
  t.ok(echoes > 0, 'the echoes that were sent show as a rate');
  const drawn = watch.stdout.split('megacomet-ts ').length - 1;
  t.ok(watch.stdout.includes(redraw) && drawn >= 4, `drawn ${drawn} times over the last picture`);
  t.equal(watch.stdout.includes('\u001b[2J'), false, 'without clearing the screen');
  process.kill(childOf(watch.pid), 'SIGINT');
  const { code } = await watch.run();
  t.not(code, null, 'an interrupt ends it');
  const [hidden, shown] = ['\u001b[?25l', '\u001b[?25h'].map((code) =>
    watch.stdout.lastIndexOf(code),
  );
  t.ok((shown ?? 0) > (hidden ?? 0), 'and gives the cursor back');
  await server.stop();
});

t.test('status of a server that is not there is one sentence and exit code 1', async (t) => {
  const { code, stdout, stderr } = await run(['status', '--admin', '127.0.0.1:1']);
  t.equal(code, 1, 'exit code');
  t.equal(
    stderr,
    'megacomet-ts: no admin server answers at 127.0.0.1:1 (connection refused: nothing listens there)\n',
    'why',
  );
  t.equal(stdout, '', 'and nothing else');
  const odd = await run(['status', '--admin', 'no address']);
  t.match(
    [odd.code, odd.stderr],
    [2, /^megacomet-ts: [^\n]+no address[^\n]+\n$/],
    'nor a wrong one',
  );
});
