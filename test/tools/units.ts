// The systemd units: their computed values, their sandbox, and the command that writes them.
import { spawnSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import t, { type Test as TapTest } from 'tap';

import { TOKEN_NAME } from '../../lib/api/generated-token.js';
import { obstacleTo } from '../../lib/cli/commands/install-service.js';
import {
  cgroupBytesNeeded,
  limitNofile,
  stopTimeoutS,
  tasksMax,
} from '../../lib/capacity/sizing.js';
import {
  PACKAGED,
  quoteArgument,
  quoteProgram,
  serviceUnit,
  socketUnit,
  TOKEN_CREDENTIAL,
  type UnitPlan,
} from '../../lib/systemd/units.js';
import { root, run } from '../support/helpers.js';
import { without } from '../support/requirements.js';

/** The highest exposure that systemd-analyze security may report; an empty unit has 9.6. */
const EXPOSURE_MAX = 2.0;

const noAnalyze = without('systemd-analyze');

const NAMES = ['megacomet.service', 'megacomet.socket'] as const;

function valueOf(unit: string, directive: string): string | undefined {
  return new RegExp(`^${directive}=(.*)$`, 'm').exec(unit)?.[1];
}

/** Writes both units, which can start on this machine, into a folder. */
function writeUnits(t: TapTest, plan: UnitPlan): string[] {
  const folder = mkdtempSync(join(tmpdir(), 'megacomet-units-'));
  t.teardown(() => {
    rmSync(folder, { recursive: true });
  });
  const texts = [serviceUnit(plan), socketUnit(plan)];
  return NAMES.map((name, index) => {
    const file = join(folder, name);
    writeFileSync(file, texts[index] ?? '');
    return file;
  });
}

const HERE: UnitPlan = { ...PACKAGED, command: [process.execPath, join(root, 'lib/bin.js')] };

t.test('the committed units match the output of the program for the packaged plan', (t) => {
  const read = (name: string): string =>
    readFileSync(join(root, 'packaging/systemd', name), 'utf8');
  t.equal(read('megacomet.service'), serviceUnit(PACKAGED));
  t.equal(read('megacomet.socket'), socketUnit(PACKAGED));
  t.end();
});

t.test('the values of the service match the formulas for any target', (t) => {
  for (const target of [1000, 200_000, 1_000_000, 5_000_000]) {
    for (const workers of [2, 56]) {
      const plan = { ...PACKAGED, target, workers, drainS: 30 };
      const unit = serviceUnit(plan);
      const load = { connections: target, clients: 0, workers, acceptRate: 1, burst: 1 };
      const bytes = cgroupBytesNeeded({ ...load, messageBytes: 0 }, plan.costs);
      t.equal(valueOf(unit, 'LimitNOFILE'), String(limitNofile(target, plan.nrOpen)));
      t.equal(valueOf(unit, 'TasksMax'), String(tasksMax(workers)));
      t.equal(valueOf(unit, 'TimeoutStopSec'), String(stopTimeoutS(target, 30)));
      t.equal(valueOf(unit, 'MemoryMax'), `${Math.ceil(bytes / 2 ** 20)}M`);
    }
  }
  t.end();
});

t.test('the limit of open files is a number that the kernel accepts', (t) => {
  for (const nrOpen of [65_536, 1_048_576, 1_073_741_816]) {
    const value = valueOf(serviceUnit({ ...PACKAGED, nrOpen }), 'LimitNOFILE');
    t.match(value, /^\d+$/, 'never infinity');
    t.ok(Number(value) <= nrOpen, 'and never above fs.nr_open');
  }
  t.end();
});

t.test('every computed line has its formula above it', (t) => {
  const lines = serviceUnit(PACKAGED).split('\n');
  for (const name of ['LimitNOFILE', 'TasksMax', 'MemoryMax', 'TimeoutStopSec']) {
    const at = lines.findIndex((line) => line.startsWith(`${name}=`));
    t.match(lines[at - 1], /^# /, name);
  }
  for (const line of [...lines, ...socketUnit(PACKAGED).split('\n')]) {
    t.ok(line.length <= 100, `no line is longer than 100 columns: ${line}`);
  }
  t.end();
});

t.test('addresses become ListenStream lines', (t) => {
  const unit = socketUnit({ ...PACKAGED, listen: ['0.0.0.0:80', '[::1]:81', 'unix:/run/push'] });
  t.same(unit.match(/^ListenStream=.*$/gm), [
    'ListenStream=0.0.0.0:80',
    'ListenStream=[::1]:81',
    'ListenStream=/run/push',
  ]);
  for (const listen of ['nowhere:80', '8000', 'unix:push']) {
    t.throws(() => socketUnit({ ...PACKAGED, listen: [listen] }), { code: 'ERR_OPTION_INVALID' });
  }
  t.end();
});

t.test('a path with any character reaches the program unchanged', { skip: noAnalyze }, (t) => {
  const rows: [string, string][] = [
    ['/usr/bin/node', '/usr/bin/node'],
    ['/opt/my node/bin', '"/opt/my node/bin"'],
    ['/opt/100%/$HOME', '/opt/100%%/$$HOME'],
    ['/opt/"a"\\b', '"/opt/\\"a\\"\\\\b"'],
  ];
  for (const [text, wanted] of rows) t.equal(quoteArgument(text), wanted);
  t.equal(
    quoteProgram('/opt/100%/$HOME'),
    '/opt/100%%/$HOME',
    'the program path expands no variables',
  );
  const folder = join(t.testdir(), 'a strange 100% $HOME folder');
  mkdirSync(folder);
  const program = join(folder, 'node');
  writeFileSync(program, '#!/bin/sh\n', { mode: 0o755 });
  const files = writeUnits(t, { ...HERE, command: [program, '/x'] });
  const { stderr } = spawnSync('systemd-analyze', ['verify', ...files], { encoding: 'utf8' });
  // systemd-analyze looks for the program under the name that it parsed.
  t.equal(stderr, '');
  t.end();
});

t.test('the unit has folders for the generated token and for unix sockets', (t) => {
  const unit = serviceUnit(PACKAGED);
  t.equal(valueOf(unit, 'StateDirectory'), 'megacomet', 'the folder of the generated token');
  t.equal(valueOf(unit, 'StateDirectoryMode'), '0700');
  t.equal(valueOf(unit, 'RuntimeDirectory'), 'megacomet');
  t.equal(valueOf(unit, 'LoadCredential'), undefined, 'the server generates its token');
  const given = serviceUnit({ ...PACKAGED, adminTokenFile: '/etc/my 100%/token' });
  t.equal(valueOf(given, 'LoadCredential'), 'admin.token:/etc/my 100%%/token');
  t.equal(TOKEN_CREDENTIAL, TOKEN_NAME, 'the server looks for a credential of this name');
  t.end();
});

t.test('certificates are credentials, and the memory of TLS is a part of the limit', (t) => {
  const certificates = [
    { cert: '/etc/tls/a.crt', key: '/etc/tls/a.key' },
    { cert: '/etc/my 100%/b.crt', key: '/etc/tls/b.key' },
  ];
  const unit = serviceUnit({ ...PACKAGED, certificates });
  const loaded = [...unit.matchAll(/^LoadCredential=(.*)$/gm)].map(([, value]) => value);
  t.same(loaded, [
    ...['tls-1.crt:/etc/tls/a.crt', 'tls-1.key:/etc/tls/a.key'],
    ...['tls-2.crt:/etc/my 100%%/b.crt', 'tls-2.key:/etc/tls/b.key'],
  ]);
  t.match(unit, '\nEnvironment=MEGACOMET_TLS_CERT=%d/tls-1.crt,%d/tls-2.crt\n');
  t.match(unit, '\nEnvironment=MEGACOMET_TLS_KEY=%d/tls-1.key,%d/tls-2.key\n');
  t.notMatch(unit, 'MEGACOMET_LISTEN', 'all sockets have TLS');
  t.match(unit, /^# TLS: 192 bytes more for each/m);
  const megabytes = (text: string): number => Number.parseInt(valueOf(text, 'MemoryMax') ?? '', 10);
  // 1.2 · 192 bytes each, 290 MB of TLS 1.2, 8 · 512 handshakes of 62 kB.
  const added = (1.2 * 192e6 + 290e6 + 8 * 512 * 62_000) / 2 ** 20;
  t.ok(Math.abs(megabytes(unit) - megabytes(serviceUnit(PACKAGED)) - added) <= 2);
  const listen = ['[::]:80', 'tls:[::]:443'];
  const mixed = { ...PACKAGED, certificates, listen };
  t.match(serviceUnit(mixed), '\nEnvironment="MEGACOMET_LISTEN=[::]:80,tls:[::]:443"\n');
  t.match(socketUnit(mixed), 'ListenStream=[::]:80\nListenStream=[::]:443\n');
  const all = { ...mixed, listen: ['tls:[::]:443'] };
  t.notMatch(serviceUnit(all), 'MEGACOMET_LISTEN');
  t.end();
});

t.test('systemd reports no error in the units', { skip: noAnalyze }, (t) => {
  for (const config of [null, '/etc/megacomet/config.json']) {
    const adminTokenFile = config === null ? null : '/etc/my 100% token';
    const certificates = config === null ? [] : [{ cert: '/etc/a 100%', key: '/etc/b' }];
    const listen = ['0.0.0.0:80', 'unix:/run/push', 'tls:0.0.0.0:443'];
    const options = { config, adminTokenFile, certificates, listen };
    const files = writeUnits(t, { ...HERE, ...options });
    const { status, stderr } = spawnSync('systemd-analyze', ['verify', ...files], {
      encoding: 'utf8',
    });
    t.equal(stderr, '', 'systemd-analyze verify is silent');
    t.equal(status, 0);
  }
  const [service = ''] = writeUnits(t, HERE);
  writeFileSync(service, `${serviceUnit(HERE)}NoSuchDirective=1\n`);
  const { stderr } = spawnSync('systemd-analyze', ['verify', service], { encoding: 'utf8' });
  t.match(stderr, 'NoSuchDirective', 'a mistake is reported');
  t.end();
});

t.test('the sandbox keeps the exposure low', { skip: noAnalyze }, (t) => {
  const exposure = (file: string): number => {
    const args = ['security', '--offline=true', file];
    const { stdout } = spawnSync('systemd-analyze', args, { encoding: 'utf8' });
    return Number(/exposure level for \S+: ([\d.]+)/.exec(stdout)?.[1] ?? NaN);
  };
  const [service = ''] = writeUnits(t, HERE);
  const found = exposure(service);
  t.ok(found <= EXPOSURE_MAX, `exposure of the service: ${found}`);
  const open = serviceUnit(HERE).replace(/# Sandbox[\s\S]*?\[Install\]/, '[Install]');
  writeFileSync(service, open);
  t.ok(exposure(service) > 9, 'the exposure without the sandbox is high');
  t.end();
});

/** Runs install-service into a folder. The service may not be able to read the checkout. */
async function install(folder: string, ...args: string[]): ReturnType<typeof run> {
  const where = ['--dir', join(folder, 'units'), '--config-file', join(folder, 'etc/config.json')];
  return run(['install-service', '--target', '10000', ...where, ...args]);
}

/** The reason why no service could run this checkout, or false. */
const outOfReach =
  [process.execPath, root].map((file) => obstacleTo(file)).find((text) => text !== null) ?? false;

t.test('install-service prints the files that it would write', async (t) => {
  const folder = t.testdir();
  const options = ['--listen', '0.0.0.0:81', '--admin-token-file', '/etc/megacomet/token'];
  const { code, stdout, stderr } = await install(folder, '--print', ...options);
  t.equal(code, 0);
  t.equal(stderr, '');
  t.same(readdirSync(folder), [], 'and writes nothing');
  const obstacle = [process.execPath, join(root, 'lib/bin.js')].some((file) => obstacleTo(file));
  t.equal(stdout.startsWith('# warning: the service cannot run '), obstacle, 'a warning');
  const parts = stdout.split(/^# \//m).slice(1);
  t.equal(parts.length, 3, 'three files');
  t.match(parts[0], '"max-connections": 10000');
  t.match(parts[1], `ExecStart=${quoteProgram(process.execPath)} `, 'with this Node');
  t.match(parts[1], `${quoteArgument(join(root, 'lib/bin.js'))} serve --config `, 'this package');
  t.match(parts[1], 'LoadCredential=admin.token:/etc/megacomet/token\n');
  t.match(parts[2], 'ListenStream=0.0.0.0:81');
});

t.test('install-service writes complete files, once', { skip: outOfReach }, async (t) => {
  const folder = t.testdir();
  const first = await install(folder);
  t.equal(first.code, 0, first.stderr);
  t.match(first.stdout, /^written +\S+megacomet\.service\nwritten .*\nwritten +\S+config\.json\n/);
  t.match(first.stdout, 'systemctl daemon-reload && systemctl enable --now megacomet.socket');
  t.same(readdirSync(join(folder, 'units')), NAMES, 'no temporary file is left');
  // The user of the service exists only while it runs, so no group can have the file. A token in a
  // file of this mode is an error at the start.
  const { mode } = statSync(join(folder, 'etc/config.json'));
  t.equal(mode & 0o777, 0o644, 'the service may read the config file');
  const second = await install(folder);
  t.match(second.stdout, /^unchanged .*\nunchanged .*\nkept +\S+config\.json\n/, 'nothing to do');

  const config = join(folder, 'etc/config.json');
  writeFileSync(config, '{"port": 9}');
  const third = await install(folder, '--drain', '60');
  t.match(third.stdout, /^written .*service\nunchanged .*socket\nkept .*config\.json\n/);
  t.equal(readFileSync(config, 'utf8'), '{"port": 9}', "the administrator's file is kept");
  const unit = readFileSync(join(folder, 'units/megacomet.service'), 'utf8');
  t.equal(valueOf(unit, 'TimeoutStopSec'), String(stopTimeoutS(10_000, 60)));
});

t.test('install-service rejects mistakes in one sentence', async (t) => {
  const folder = t.testdir({ file: '' });
  const rows: [string[], RegExp, number][] = [
    [['--admin-token-file', 'token'], /--admin-token-file: "token" is not an absolute path/, 2],
    [['--dir', 'units'], /--dir: "units" is not an absolute path/, 2],
    [['--config-file', 'x.json'], /--config-file: "x\.json" is not an absolute path/, 2],
    [['--listen', 'nowhere:80'], /listen: "nowhere:80" is not a numeric HOST:PORT/, 2],
    [['--tls-cert', 'a', '--tls-key', '/b'], /--tls-cert: "a" is not an absolute path/, 2],
    [['--tls-cert', '/a', '--tls-key', '/b', '--tls-key', '/c'], /1 certificates and 2 keys/, 2],
    [['--tls-cert', '/a'], /--tls-cert: .* needs --tls-key/, 2],
    [['--listen', 'tls:0.0.0.0:443'], /--listen: tls:0\.0\.0\.0:443 needs --tls-cert/, 2],
    [
      ['--listen', '0.0.0.0:443', '--tls-cert', '/a', '--tls-key', '/b'],
      /--tls-cert: needs --listen tls:HOST:PORT/,
      2,
    ],
    [['--target', '0'], /--target: 0 is not between 1 and 100000000/, 2],
  ];
  if (outOfReach === false) {
    const wanted = /cannot write .* \(\w+\): check --dir and --config-file/;
    rows.push([['--dir', join(folder, 'file/units')], wanted, 1]);
    const none = ['--tls-cert', '/none.crt', '--tls-key', '/none.key'];
    rows.push([none, /tls-cert: \/none\.crt cannot be read \(ENOENT\)/, 2]);
  }
  for (const [args, wanted, wantedCode] of rows) {
    const { code, stdout, stderr } = await install(folder, ...args);
    t.match(stderr, wanted);
    t.match(stderr, /^megacomet-ts: [^\n]+\n$/, 'one sentence');
    t.equal(stdout, '');
    t.equal(code, wantedCode);
  }
  t.same(readdirSync(folder), ['file'], 'nothing is written');
});

t.test('install-service rejects a program that the service cannot run', async (t) => {
  // The user that systemd creates must be able to read its folder and the folder of Node.
  const folder = mkdtempSync('/tmp/megacomet-reach-');
  t.teardown(() => {
    rmSync(folder, { recursive: true });
  });
  t.equal(obstacleTo(folder), 'the sandbox of the service hides /tmp');
  t.equal(obstacleTo('/usr/bin/env'), null);
  if (outOfReach === false) return;
  const { code, stderr } = await install(folder);
  t.match(stderr, /^megacomet-ts: the service cannot run .*, because .*: install Node\.js .*\n$/);
  t.equal(code, 1);
});
