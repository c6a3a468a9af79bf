// Disks that are full, read-only or failing under everything that a server writes: its log, the file
// of its token, and the files of its unix sockets.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  existsSync,
  fstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import t, { type Test } from 'tap';

import { bin, command, freePort, run, TestServer, until } from '../support/helpers.js';
import { without } from '../support/requirements.js';

const skip = without('root', 'namespaces');
const COMET = ['--protocol', 'comet', '--host', '127.0.0.1', '--workers', '1'];
const SMALL = [...COMET, '--max-connections', '100'];

function folderFor(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'megacomet-disk-'));
  t.teardown(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  return folder;
}

/** Starts a command with a disk of its own at a folder, after more of a shell script. */
function onDisk(folder: string, options: string, script: string): string[] {
  const mount = `cd "$0" && mount -t tmpfs -o ${options} none "$0" && cd "$0" && ${script}`;
  return ['unshare', '--mount', 'sh', '-c', `(${mount}) && exec "$@"`, folder];
}

/** Bytes of the log that a disk has room for. */
const ROOM = 8192;

/** A folder as a process sees it, which has mounts of its own. */
const seenBy = (pid: number, folder: string): string => `/proc/${pid}/root${folder}`;

/** `serve` whose log goes where a shell says. */
class Logged {
  readonly child: ChildProcess;
  readonly ended: Promise<unknown[]>;
  stderr = '';

  constructor(
    t: Test,
    readonly adminPort: number,
    through: readonly string[],
    args: readonly string[],
  ) {
    const ports = ['--port', '0', '--admin-port', String(adminPort), '--log-format', 'json'];
    const node = ['env', '-u', 'NODE_OPTIONS', process.execPath, bin];
    const words = [...through, ...node, 'serve', '--workers', '1', '--drain', '0', ...ports];
    const argv = ['--pdeathsig', 'KILL', ...words, ...args];
    this.child = spawn('setpriv', argv, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
    this.ended = once(this.child, 'close');
    t.teardown(() => this.child.kill('SIGKILL'));
  }

  async ask(path: string): Promise<string> {
    try {
      return await (await fetch(`http://127.0.0.1:${this.adminPort}${path}`)).text();
    } catch {
      return '';
    }
  }

  async isReady(): Promise<boolean> {
    return (await this.ask('/readyz')).includes('"isReady":true');
  }

  async dropped(): Promise<number> {
    const metrics = await this.ask('/metrics');
    return Number(/^megacomet_log_lines_dropped_total (\d+)$/m.exec(metrics)?.[1]);
  }
}

t.test('a server whose log goes to a full disk serves, and ends cleanly', async (t) => {
  const server = new Logged(t, await freePort(), ['sh', '-c', 'exec "$@" > /dev/full', '-'], []);
  await until('it to serve', () => server.isReady());
  server.child.kill('SIGTERM');
  t.same(await server.ended, [0, null]);
  t.equal(server.stderr, '', 'nothing on standard error');
});

t.test('a log misses no line when its full disk has room again', { skip }, async (t) => {
  const folder = folderFor(t);
  const config = join(folderFor(t), 'config.json');
  writeFileSync(config, '{}');
  const disk = onDisk(folder, 'size=64k', `head -c ${65_536 - ROOM} /dev/zero > filler`);
  const through = [...disk, 'sh', '-c', 'exec "$@" >> "$0/log"', folder];
  const server = new Logged(t, await freePort(), through, ['--config', config]);
  await until('it to serve', () => server.isReady());
  const seen = seenBy(server.child.pid ?? -1, folder);
  // Open, because the disk ends with the server.
  const log = openSync(join(seen, 'log'), 'r');
  t.teardown(() => {
    closeSync(log);
  });
  const bytes = (): number => fstatSync(log).size;
  writeFileSync(config, '{');
  await until('a full disk', async () => {
    server.child.kill('SIGHUP');
    t.match(await server.ask('/healthz'), 'alive');
    return bytes() === ROOM;
  });
  for (let count = 0; count < 10; count++) {
    server.child.kill('SIGHUP');
    t.match(await server.ask('/healthz'), 'alive');
  }
  t.equal(bytes(), ROOM, 'nothing more fits');
  rmSync(join(seen, 'filler'));
  await until('the lines', () => bytes() > ROOM);
  t.equal(await server.dropped(), 0, 'no line was dropped');
  server.child.kill('SIGTERM');
  t.same(await server.ended, [0, null]);
  const text = readFileSync(log, 'utf8');
  t.match(text, /"msg":"stopped"\}\n$/, 'the last line is written');
  for (const line of text.trim().split('\n')) JSON.parse(line);
  t.equal(server.stderr, '');
});

t.test(
  'a server whose disk cannot hold its token says so, serves, and leaves no file',
  { skip },
  async (t) => {
    const folder = folderFor(t);
    const full = onDisk(folder, 'size=4k', 'mkdir megacomet && head -c 4096 /dev/zero > filler');
    const files = onDisk(folder, 'nr_inodes=2', 'mkdir megacomet');
    const frozen = onDisk(folder, 'size=64k', 'mount -o remount,ro "$0"');
    const failing = onDisk(folder, 'size=64k', 'true');
    const strace = ['strace', '-D', '-f', '-qq', '-o', '/dev/null'];
    const eio = [...strace, '-e', 'trace=fsync', '-e', 'inject=fsync:error=EIO'];
    for (const [name, through, reason] of [
      ['full', full, 'no space left on the device'],
      ['without room for a file', files, 'no space left on the device'],
      ['read-only', frozen, 'the file system is read-only'],
      ...(without('tracing') === false
        ? ([['failing', [...failing, ...eio], 'input/output error']] as const)
        : []),
    ] as const) {
      const server = await TestServer.start(t, {
        args: SMALL,
        env: { XDG_STATE_HOME: folder },
        through,
        expectLog: [/^no admin token, because no file can hold it /],
      });
      const line = await server.logged(/^no admin token/);
      t.match(
        line.msg,
        `${folder}/megacomet/admin.token: ${reason}): set --admin-token-file`,
        name,
      );
      const state = join(seenBy(server.pid, folder), 'megacomet');
      t.same(existsSync(state) ? readdirSync(state) : [], [], 'no file is left');
      t.equal((await server.get('/healthz')).status, 200);
      await server.stop();
    }
  },
);

t.test('a disk that cannot hold the file of a unix socket ends the start', { skip }, async (t) => {
  const folder = folderFor(t);
  const rows: [string, string, RegExp][] = [
    ['nr_inodes=1', 'true', /ENOSPC/],
    ['size=64k', 'mount -o remount,ro "$0"', /EROFS/],
    ['size=64k', 'ln -s nowhere socket', /EADDRINUSE/],
  ];
  for (const [options, script, reason] of rows) {
    for (const [option, port] of [
      ['--listen', '--admin-port'],
      ['--admin-listen', '--port'],
    ] as const) {
      const args = [option, `unix:${folder}/socket`, port, '0'];
      const { code, stdout, stderr } = await run(['serve', '--workers', '1', ...args], {
        through: onDisk(folder, options, script),
      });
      t.match([code, stdout, stderr], [1, /^$/, reason], `${option}: ${script}`);
      t.match(stderr, /^megacomet-ts: [^\n]+socket[^\n]+\n$/, 'one line that names the path');
    }
  }
});

t.test('a disk that became read-only does not hold up the end of a server', { skip }, async (t) => {
  const folder = folderFor(t);
  const sockets = ['push', 'admin'].map((name) => `unix:${folder}/${name}`);
  const [push = '', admin = ''] = sockets;
  const server = TestServer.launch(t, {
    args: ['--workers', '1', '--listen', push, '--admin-listen', admin],
    through: onDisk(folder, 'size=64k', 'true'),
  });
  await server.logged(/^listening on/);
  command('nsenter', '-t', String(server.pid), '-m', 'mount', '-o', 'remount,ro', folder);
  await server.stop();
});
