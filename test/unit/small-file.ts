// Files of any kind that options name: each is read, or rejected with one sentence.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import t from 'tap';

import { readToken } from '../../lib/api/token.js';
import { readOptionFile } from '../../lib/base/option-file.js';

const TOKEN = 'what-only-the-operator-knows';
const OWNERS = [process.geteuid?.() ?? 0];
const INVALID = { code: 'ERR_OPTION_INVALID' };

t.test('a file of a token is read, or rejected with its reason', (t) => {
  const folder = t.testdir({ good: `${TOKEN}\n`, empty: '', huge: 'x'.repeat(65_537) });
  const at = (name: string): string => join(folder, name);
  writeFileSync(at('open'), TOKEN);
  for (const name of ['good', 'empty', 'huge']) chmodSync(at(name), 0o600);
  chmodSync(at('open'), 0o644);
  mkdirSync(at('folder'), { mode: 0o755 });
  spawnSync('mkfifo', ['-m', '600', at('fifo')]);
  for (const [name, to] of Object.entries({
    'link to good': 'good',
    'link to open': 'open',
    'link to itself': 'link to itself',
    'link to nothing': 'none',
    'link to folder': 'folder',
  })) {
    symlinkSync(to, at(name));
  }
  t.equal(readToken('o', at('good'), OWNERS), TOKEN);
  t.equal(readToken('o', at('link to good'), OWNERS), TOKEN, 'a link is followed');
  for (const [name, reason] of Object.entries({
    'link to open': 'has mode 0644, so every user can read the secret: chmod 600 ',
    'link to itself': 'cannot be read (ELOOP)',
    'link to nothing': 'cannot be read (ENOENT)',
    'link to folder': 'cannot be read (EISDIR)',
    folder: 'cannot be read (EISDIR)',
    'good/below': 'cannot be read (ENOTDIR)',
    empty: 'the token is not 16 to 512 visible ASCII characters',
    fifo: 'the token is not 16 to 512 visible ASCII characters',
    huge: 'is too large; at most 65536 bytes are allowed',
  })) {
    const message = new RegExp(`^o: ${at(name)}:? ${reason.replace(/[()]/g, '\\$&')}`);
    t.throws(() => readToken('o', at(name), OWNERS), { ...INVALID, message }, name);
  }
  t.throws(() => readToken('o', '/dev/zero', OWNERS), { message: /has mode 0666/ });
  t.throws(() => readOptionFile('o', '/dev/zero'), { ...INVALID, message: /too large; at most / });
  t.throws(() => readOptionFile('o', at('folder')), { message: /cannot be read \(EISDIR\)$/ });
  t.equal(readOptionFile('o', at('fifo')).length, 0, 'no writer is awaited');
  t.end();
});

t.test('a pipe is read to its end, and a writer that does not write is an error', async (t) => {
  const fifo = join(t.testdir(), 'fifo');
  spawnSync('mkfifo', [fifo]);
  const write = async (script: string): Promise<void> => {
    const writer = spawn('sh', ['-c', `exec 3<>"$0"; echo; ${script}`, fifo], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    t.teardown(() => writer.kill('SIGKILL'));
    await once(writer.stdout, 'data');
  };
  await write('sleep 0.1; printf first >&3; sleep 0.1; printf second >&3');
  t.equal(readOptionFile('o', fifo).toString(), 'firstsecond');
  await write('exec sleep 600');
  t.throws(() => readOptionFile('o', fifo), { ...INVALID, message: /cannot be read \(EAGAIN\)$/ });
});
