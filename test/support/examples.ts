// Running the examples: programs in temporary folders, and the two proxies with their example
// configurations, changed only in their ports.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { Test } from 'tap';

import { connect, freePort, root, until } from './helpers.js';

export const example = (path: string): string => readFileSync(join(root, 'examples', path), 'utf8');

export function temporaryFolder(test: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'megacomet-example-'));
  test.teardown(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  return folder;
}

export interface Running {
  readonly child: ChildProcess;
  output: string;
  readonly ended: Promise<unknown>;
}

/** Starts a program that ends with the test, or with this process if this process is killed. */
export function start(test: Test, folder: string, command: readonly string[], env = {}): Running {
  const child = spawn('setpriv', ['--pdeathsig', 'TERM', ...command], {
    cwd: folder,
    env: { ...process.env, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const running: Running = { child, output: '', ended: once(child, 'close') };
  const note = (text: string): void => void (running.output += text);
  child.stdout.setEncoding('utf8').on('data', note);
  child.stderr.setEncoding('utf8').on('data', note);
  test.teardown(async () => {
    child.kill('SIGTERM');
    await running.ended;
    if (!test.passing()) test.comment(running.output);
  });
  return running;
}

/** Replaces texts of an example; fails the test if one of them is missing. */
export function adapted(
  test: Test,
  text: string,
  changes: Readonly<Record<string, string>>,
): string {
  let adaptedText = text;
  for (const [from, to] of Object.entries(changes)) {
    test.ok(adaptedText.includes(from), `the example says ${from}`);
    adaptedText = adaptedText.replaceAll(from, to);
  }
  return adaptedText;
}

async function reachable(port: number): Promise<boolean> {
  const socket = await connect(port).catch(() => null);
  socket?.destroy();
  return socket !== null;
}

/** A running proxy, and the port that it listens on. */
export interface Proxy {
  readonly port: number;
  readonly running: Running;
}

/** Starts nginx with the example, in front of a server at a port. */
export async function startNginx(test: Test, serverPort: number): Promise<Proxy> {
  const port = await freePort();
  const folder = temporaryFolder(test);
  const site = adapted(test, example('nginx/megacomet.conf'), {
    'listen 8080;': `listen 127.0.0.1:${port};`,
    '127.0.0.1:8000': `127.0.0.1:${serverPort}`,
  });
  writeFileSync(join(folder, 'megacomet.conf'), site);
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${name};`,
  );
  // The lines that a distribution's own file has around it.
  const main = `daemon off; pid nginx.pid; error_log stderr; events {}
    http { access_log off; ${temporary.join(' ')} include megacomet.conf; }`;
  const user = process.getuid?.() === 0 ? 'user root; ' : '';
  writeFileSync(join(folder, 'nginx.conf'), user + main);
  const command = ['nginx', '-p', folder, '-c', join(folder, 'nginx.conf'), '-e', 'stderr'];
  const running = start(test, folder, command);
  await until('nginx', () => reachable(port));
  return { port, running };
}

/** Starts HAProxy with the example, in front of a server at a port. */
export async function startHaproxy(test: Test, serverPort: number): Promise<Proxy> {
  const port = await freePort();
  const folder = temporaryFolder(test);
  const config = adapted(test, example('haproxy/haproxy.cfg'), {
    // The original value is more than a test needs, and more than some machines allow.
    'maxconn 20000': 'maxconn 100',
    'bind :8080': `bind 127.0.0.1:${port}`,
    '127.0.0.1:8000': `127.0.0.1:${serverPort}`,
    '/etc/haproxy/later.http': join(root, 'examples/haproxy/later.http'),
  });
  writeFileSync(join(folder, 'haproxy.cfg'), config);
  const running = start(test, folder, ['haproxy', '-db', '-f', 'haproxy.cfg']);
  await until('HAProxy', () => reachable(port));
  return { port, running };
}

/** The ports of a node: of its clients, and of its admin server. */
export interface NodePorts {
  readonly port: number;
  readonly admin: number;
}

/** Starts HAProxy with the example of a cluster, in front of three nodes. */
export async function startClusterProxy(test: Test, nodes: readonly NodePorts[]): Promise<Proxy> {
  const port = await freePort();
  const folder = temporaryFolder(test);
  const ports = nodes.flatMap(({ port: clients, admin }, index): [string, string][] => [
    [`127.0.0.1:800${index + 1} port 810${index + 1}`, `127.0.0.1:${clients} port ${admin}`],
  ]);
  const config = adapted(test, example('cluster/haproxy.cfg'), {
    'maxconn 20000': 'maxconn 200',
    'bind 127.0.0.1:8080': `bind 127.0.0.1:${port}`,
    ...Object.fromEntries(ports),
  });
  writeFileSync(join(folder, 'haproxy.cfg'), config);
  const running = start(test, folder, ['haproxy', '-db', '-f', 'haproxy.cfg']);
  await until('HAProxy', () => reachable(port));
  return { port, running };
}

/** Starts a back end of examples/tokens with the sessions `4f2a` of ada and `77` of `*`; returns its URL. */
export async function startBackEnd(test: Test, program: string, env: object): Promise<string> {
  const command = program.endsWith('.py') ? 'python3' : process.execPath;
  const sessions = { PORT: '0', SESSIONS: '4f2a=ada,77=*' };
  const args = [command, join(root, 'examples/tokens', program)];
  const running = start(test, tmpdir(), args, { ...sessions, ...env });
  const found = await until('the back end', () => /listening on (\S+)/.exec(running.output));
  return `http://${found[1] ?? ''}`;
}
