// The addon for arm64, cross-compiled on this machine and run by an emulator: manager and workers,
// with an echo through them. The emulator is registered with binfmt_misc in its own namespace.
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import t from 'tap';

import { command, root, type Test } from '../support/helpers.js';
import {
  ensurePrebuild,
  install,
  installNode,
  InstalledServer,
  pack,
  temporaryFolder,
} from '../support/packages/make.js';
import { without } from '../support/requirements.js';

t.setTimeout(1_200_000);

const EMULATOR = 'qemu-aarch64-static';
/** The C library of the cross compiler, which the arm64 programs load. */
const LIBRARIES = '/usr/aarch64-linux-gnu';
/** An installed arm64 C library would be found by the emulator; the two must not mix. */
const OWN_LOADER = '/lib/ld-linux-aarch64.so.1';
/** The ELF header of an arm64 program and its mask, for binfmt_misc. */
const MAGIC = String.raw`\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00`;
const MASK = String.raw`\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff`;
/** The emulator sometimes loops or deadlocks; this limit ends it. */
const LIMIT = ['timeout', '--foreground', '-s', 'KILL', '120'];
/** Tries of the emulator alone. The server has one: its fault may be random too. */
const TRIES = 3;

const skip = without(EMULATOR, 'aarch64-linux-gnu-g++');

/** A script that passes the libraries to the emulator, because workers get no variable for it. */
function writeEmulator(folder: string): string {
  const file = join(folder, 'emulator');
  const libraries = existsSync(OWN_LOADER) ? '' : `-L ${LIBRARIES} `;
  writeFileSync(file, `#!/bin/sh\nexec ${EMULATOR} ${libraries}"$@"\n`);
  chmodSync(file, 0o755);
  return file;
}

/** A command prefix under which the kernel runs arm64 programs in the emulator. */
function emulating(emulator: string): string[] {
  const script =
    'mount -t binfmt_misc none /proc/sys/fs/binfmt_misc && ' +
    `printf '%s' ':megacomet-arm64:M::${MAGIC}:${MASK}:${emulator}:' ` +
    '> /proc/sys/fs/binfmt_misc/register && exec "$@"';
  const namespaces = ['--user', '--map-root-user', '--mount', '--pid', '--fork', '--mount-proc'];
  return ['unshare', ...namespaces, '--kill-child', 'sh', '-c', script, 'sh', ...LIMIT];
}

/** Runs a command in the emulator, without code of this project, and retries it after a fault. */
function tryEmulator(t: Test, [name = '', ...args]: readonly string[]): string {
  for (let left = TRIES - 1; ; left--) {
    try {
      return command(name, ...args);
    } catch (error) {
      if (left === 0) throw error;
      t.comment(`the emulator failed, ${left} tries are left: ${String(error)}`);
    }
  }
}

t.test('the arm64 addon is an arm64 binary and serves', { skip }, async (t) => {
  await ensurePrebuild('arm64');
  const addon = join(root, 'prebuilds/linux-arm64/megacomet-ts.glibc.node');
  for (const file of [addon, join(root, 'prebuilds/linux-arm64/libev.so.4')]) {
    t.match(command('readelf', '-h', file), /Machine:\s+AArch64/, file);
  }
  t.match(
    command('readelf', '-d', addon),
    /RUNPATH.*\[\$ORIGIN\]/,
    'it looks for libraries in its own folder',
  );
  t.notMatch(command('readelf', '-S', '--wide', addon), /\.symtab|\.debug/, 'it is stripped');

  const folder = temporaryFolder(t);
  install(folder, [await pack(t)]);
  const node = installNode(folder, 20, 'arm64');
  const program = join(folder, 'node_modules/megacomet-ts/lib/bin.js');
  const emulated = emulating(writeEmulator(folder));
  const arch = tryEmulator(t, [...emulated, node, '-p', 'process.arch']);
  t.equal(arch, 'arm64\n', 'the emulator runs Node');
  // One worker: the emulator takes seconds to start one.
  const args = ['--workers', '1'];
  const server = await InstalledServer.start(t, [...emulated, node, program], { args });
  t.ok(await server.answers(), 'a client receives its echo');
  // The first process of the namespace passes the signal on to the manager.
  const pid = server.child.pid ?? 0;
  const first = Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8'));
  t.equal(await server.end('SIGTERM', first), 0, 'it ends cleanly');
});
