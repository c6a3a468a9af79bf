// A server whose log is not read: it serves on, and counts the lines that it drops.
import t from 'tap';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { root, until } from '../support/helpers.js';

t.test('a reader of the log that stands still stops nothing', async (t) => {
  // The error of a broken config file repeats its path, so that few lines fill the queue.
  const folder = join(t.testdir(), ...Array.from({ length: 14 }, () => 'x'.repeat(200)));
  mkdirSync(folder, { recursive: true });
  const config = join(folder, 'config.json');
  writeFileSync(config, '{}');
  const args = ['--port', '0', '--admin-port', '0', '--workers', '1', '--log-format', 'json'];
  const child = spawn(
    process.execPath,
    [join(root, 'lib/bin.js'), 'serve', ...args, '--config', config],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const ended = once(child, 'close');
  t.teardown(() => child.kill('SIGKILL'));
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  await until('the first line', () => text.includes('"adminPort"'));
  const port = Number(/"adminPort":(\d+)/.exec(text)?.[1]);
  const ask = async (path: string): Promise<string> =>
    (await fetch(`http://127.0.0.1:${port}${path}`)).text();
  child.stdout.pause();
  writeFileSync(config, '{');
  const dropped = async (): Promise<number> =>
    Number(/^megacomet_log_lines_dropped_total (\d+)$/m.exec(await ask('/metrics'))?.[1]);
  await until('lines to be dropped', async () => {
    for (let count = 0; count < 20; count++) {
      child.kill('SIGHUP');
      t.match(await ask('/healthz'), 'alive');
    }
    return (await dropped()) > 0;
  });
  child.stdout.resume();
  await until('the report', () => text.includes('log lines dropped: the reader'));
  child.kill('SIGTERM');
  await ended;
  t.match(text, /"msg":"stopped"\}\n$/, 'the last line is written');
  for (const line of text.trim().split('\n')) JSON.parse(line);
});
