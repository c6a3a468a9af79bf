// Fixes: the files that --write creates, and the values that --apply sets. An interrupted run leaves
// no partial file. The real command runs in a network namespace with lowered values.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import t, { type Test as TapTest } from 'tap';

import { diagnosisOf, recordingOf, withSysctls } from '../support/machines/recorded.js';
import { Namespace, noNamespace } from '../support/machines/namespace.js';
import { run, type StartOptions } from '../support/helpers.js';
import { noTracing } from '../support/injection.js';
import { dropInFile, sysctlFile } from '../../lib/doctor/fix.js';

const LOWERED = {
  'net.core.somaxconn': 128,
  'net.ipv4.tcp_max_tw_buckets': 100,
  'net.ipv4.ip_local_reserved_ports': '39999',
};
const APPLIED = {
  'net.core.somaxconn': '4096',
  'net.ipv4.tcp_max_tw_buckets': '1000',
  'net.ipv4.ip_local_reserved_ports': '39999-40000',
};
/** A thousand connections on port 40000, which lies in the ephemeral port range. */
const ASKED = ['doctor', '--target', '1000', '--port', '40000', '--backlog', '128'];

/** A folder outside the checkout, whose file system may be shared with others. */
function folderOf(t: TapTest): string {
  const folder = mkdtempSync(join(tmpdir(), 'megacomet-fix-'));
  t.teardown(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  return folder;
}

/** Every file below a folder, by its relative path. */
function filesIn(folder: string): Record<string, string> {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort();
  const files = names.filter((name) => statSync(join(folder, name)).isFile());
  return Object.fromEntries(files.map((name) => [name, readFileSync(join(folder, name), 'utf8')]));
}

const NAMES = ['90-megacomet.conf', 'megacomet.service.d/90-megacomet.conf'];

t.test('--write twice gives the same bytes', { skip: noNamespace }, async (t) => {
  const namespace = await Namespace.make(t, LOWERED);
  const folder = join(folderOf(t), 'tuning');
  const first = await namespace.run([...ASKED, '--write', folder]);
  t.equal(first.stderr, '');
  const files = filesIn(folder);
  t.same(Object.keys(files), NAMES, 'both files, and no other');
  for (const name of NAMES) t.match(first.stdout, new RegExp(`^written   .*/tuning/${name}$`, 'm'));
  const lines = (files[NAMES[0] ?? ''] ?? '').split('\n').filter((line) => /^[^#]/.test(line));
  t.same(
    lines,
    [
      'net.ipv4.ip_local_reserved_ports = 39999,40000',
      'net.core.somaxconn = 4096',
      'net.ipv4.tcp_max_tw_buckets = 1000',
    ],
    'only needed lines, reserved ports first',
  );
  t.match(files[NAMES[1] ?? ''], /\n\[Service\]\n\n(# .*\n)+Environment=MEGACOMET_BACKLOG=4096\n$/);
  const second = await namespace.run([...ASKED, '--write', folder]);
  t.same(filesIn(folder), files, 'the same bytes');
  t.equal(second.stdout.split('\n').filter((line) => line.startsWith('unchanged ')).length, 2);
  t.equal(namespace.get('net.core.somaxconn'), '128', 'and nothing was set');
});

t.test(
  '--apply sets the values, verifies them, and then has nothing more to do',
  { skip: noNamespace },
  async (t) => {
    const namespace = await Namespace.make(t, LOWERED);
    const folder = folderOf(t);
    t.equal((await namespace.run(ASKED)).code, 3, 'a queue of 128 is critical before --apply');
    const first = await namespace.run([...ASKED, '--apply', '--write', folder]);
    t.equal(first.code, 0, first.stdout + first.stderr);
    for (const [key, value] of Object.entries(APPLIED)) {
      t.equal(namespace.get(key), value, key);
      t.ok(first.stdout.includes(`\napplied  ${key} = ${value}\n`), `${key} is reported`);
    }
    const files = filesIn(folder);
    const second = await namespace.run([...ASKED, '--apply', '--write', folder]);
    t.equal(second.code, 0);
    t.notMatch(second.stdout, /^applied/m, 'nothing is left to apply');
    t.same(filesIn(folder), files, 'and no line of the file is lost');
    const { stdout } = await namespace.run([...ASKED, '--json', '--apply', '--write', folder]);
    const result = JSON.parse(stdout) as { applied: unknown[]; written: { isChanged: boolean }[] };
    t.same(result.applied, []);
    t.same(
      result.written.map(({ isChanged }) => isChanged),
      [false, false],
    );
  },
);

t.test('the port range of a client is widened', { skip: noNamespace }, async (t) => {
  const namespace = await Namespace.make(t, { 'net.ipv4.ip_local_port_range': '40000 40199' });
  const asked = ['doctor', '--role', 'client', '--target', '1000', '--apply'];
  const { code, stdout } = await namespace.run(asked);
  t.equal(code, 0, stdout);
  t.equal(namespace.get('net.ipv4.ip_local_port_range'), '1024 65535');
  t.match(stdout, /^Applied values last until the next boot; --write DIR writes a file/m);
});

/** Makes a path read-only before the command runs. */
const readOnly = (path: string): string[] => [
  ...['unshare', '--mount', 'sh', '-c'],
  'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"',
  path,
];

t.test('values that the kernel rejects are reported', { skip: noNamespace }, async (t) => {
  const namespace = await Namespace.make(t, LOWERED);
  const key = '/proc/sys/net/core/somaxconn';
  const one = await namespace.run([...ASKED, '--apply'], { through: readOnly(key) });
  t.equal(one.code, 4, 'exit code');
  t.match(one.stdout, /^REJECTED net\.core\.somaxconn = 4096: EROFS; it is 128$/m);
  t.match(
    one.stdout,
    /^applied {2}net\.ipv4\.tcp_max_tw_buckets = 1000$/m,
    'the other values are set',
  );
  const all = await namespace.run([...ASKED, '--apply'], { through: readOnly('/proc/sys') });
  t.equal(all.code, 4, 'in a container that may set nothing');
  t.match(
    all.stdout,
    /docker run --sysctl "net\.core\.somaxconn=4096"/,
    'another way is suggested',
  );
  t.match(all.stdout, /^REJECTED net\.core\.somaxconn = 4096: EROFS; it is 128$/m);
});

t.test('without root --apply fails with the reason', { skip: noNamespace }, async (t) => {
  const nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
  const end = await run([...ASKED, '--apply'], { through: nobody });
  t.equal(end.code, 1);
  t.equal(end.stderr, 'megacomet-ts: --apply: only root can set sysctls\n');
  t.equal(end.stdout, '');
});

interface Rejection {
  readonly about: string;
  readonly folder: string;
  readonly options?: StartOptions;
  readonly wanted: RegExp;
}

t.test(
  'a folder that cannot be written gives one sentence and no file',
  { skip: noNamespace },
  async (t) => {
    const namespace = await Namespace.make(t, LOWERED);
    const above = folderOf(t);
    const inside = (name: string): string => join(above, name);
    for (const name of ['locked', 'frozen', 'taken']) mkdirSync(inside(name));
    writeFileSync(inside('file'), 'precious');
    writeFileSync(join(inside('taken'), 'megacomet.service.d'), 'precious');
    const nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
    const rejections: Rejection[] = [
      {
        about: 'a folder of another user',
        folder: inside('locked'),
        options: { through: nobody },
        wanted: /EACCES/,
      },
      {
        about: 'a read-only folder',
        folder: inside('frozen'),
        options: { through: readOnly(inside('frozen')) },
        wanted: /EROFS/,
      },
      {
        about: 'a missing parent folder',
        folder: inside('no/where'),
        wanted: /cannot write \S+\/no\/where \(ENOENT\)/,
      },
      { about: 'a file instead of a folder', folder: inside('file'), wanted: /ENOTDIR/ },
      {
        about: 'a file instead of the folder of the drop-in',
        folder: inside('taken'),
        wanted: /service\.d\S* \(E\w+\)/,
      },
    ];
    // The user "nobody" must be able to read the folder that it may not write.
    namespace.command('chmod', '755', above);
    const before = filesIn(above);
    for (const { about, folder, options, wanted } of rejections) {
      const end = await namespace.run([...ASKED, '--write', folder], options);
      t.equal(end.code, 1, `${about}: exit code`);
      t.match(end.stderr, /^megacomet-ts: cannot write [^\n]+\n$/, `${about}: one sentence`);
      t.match(end.stderr, wanted, `${about}: the error names path and reason`);
      t.equal(end.stdout, '', `${about}: nothing on standard output`);
      t.same(filesIn(above), before, `${about}: no file was added or changed`);
    }
  },
);

t.test(
  'a run that is killed leaves the earlier files intact',
  { skip: noNamespace || noTracing },
  async (t) => {
    const namespace = await Namespace.make(t, LOWERED);
    const folder = folderOf(t);
    await namespace.run([...ASKED, '--write', folder]);
    const before = filesIn(folder);
    const killed = ['strace', '-f', '-qq', '-o', '/dev/null', '-e', 'trace=rename'];
    const other = ['doctor', '--target', '20000', '--port', '40000', '--backlog', '128'];
    for (const when of [1, 2]) {
      const through = [...killed, '-e', `inject=rename:signal=KILL:when=${when}`];
      const { code } = await namespace.run([...other, '--write', folder], { through });
      t.not(code, 0, 'it was killed');
      for (const [name, text] of Object.entries(filesIn(folder))) {
        if (name.endsWith('.conf') && text !== before[name]) {
          t.match(text, /Written by megacomet-ts for 20000 [\s\S]+\n$/, `${name} is complete`);
        }
      }
      if (when === 1) {
        for (const name of NAMES) t.equal(readFileSync(join(folder, name), 'utf8'), before[name]);
      }
    }
    const { stdout } = await namespace.run([...other, '--write', folder]);
    t.match(stdout, /^written {3}/m, 'the next run succeeds');
    t.ok(NAMES.every((name) => existsSync(join(folder, name))));
  },
);

t.test('earlier lines are kept unless they would lower the running value', (t) => {
  const machine = withSysctls(recordingOf('debian-13'), { 'net.core.somaxconn': 4096 });
  const first = sysctlFile(diagnosisOf(machine)) ?? '';
  t.match(first, /^net\.core\.somaxconn = 16384$/m);
  const read = (key: string, value: number | string) => (path: string) =>
    withSysctls(machine, { [key]: value }).files[path];
  const applied = diagnosisOf(withSysctls(machine, { 'net.core.somaxconn': 16_384 }));
  t.equal(
    sysctlFile(applied, first, read('net.core.somaxconn', 16_384)),
    first,
    'the line is kept after the value is applied',
  );
  const higher = diagnosisOf(withSysctls(machine, { 'net.core.somaxconn': 65_535 }));
  const kept = sysctlFile(higher, first, read('net.core.somaxconn', 65_535)) ?? '';
  t.notMatch(kept, /somaxconn/, 'the next boot does not shorten a queue that is longer now');
  t.match(kept, /^net\.ipv4\.tcp_max_orphans = 250000$/m, 'the others are kept');
  const more = diagnosisOf(machine, { acceptRate: 60_000 });
  const grown = sysctlFile(more, first, read('net.core.somaxconn', 4096)) ?? '';
  t.match(grown, /^net\.core\.somaxconn = 32768$/m, 'a higher reconnect rate raises a line');
  t.equal(grown.match(/^net\.core\.somaxconn/gm)?.length, 1, 'and does not duplicate it');
  const idle = diagnosisOf(machine, { target: 10, messageBurst: 0 });
  t.equal(sysctlFile(idle), null, 'a file without settings is not written');
  t.equal(dropInFile(idle), null);
  t.end();
});

t.test('every line has a comment with its reason, at most 100 columns wide', (t) => {
  for (const name of ['laptop', 'debian-12', 'debian-13'] as const) {
    const diagnosis = diagnosisOf(recordingOf(name), { role: 'both', workers: 1, keepaliveS: 0 });
    for (const text of [sysctlFile(diagnosis), dropInFile(diagnosis)]) {
      for (const block of (text ?? '').trimEnd().split('\n\n').slice(1)) {
        if (block === '[Service]') continue;
        t.match(block, /^(# .+\n)+-?[\w.-]+ ?= ?\S.*$/, block.slice(-40));
      }
      for (const line of (text ?? '').split('\n')) if (line.length > 100) t.fail(line);
    }
  }
  t.end();
});
