// The user and the privileges that serve: --user leaves nothing of root, and serving as root is logged.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

import t from 'tap';

import {
  Clients,
  Command,
  command,
  compile,
  TestServer,
  type StartOptions,
} from '../support/helpers.js';
import { without } from '../support/requirements.js';

const onlyRoot = without('root');

const NOBODY = '65534';
/** /proc/PID/status of a process without any privilege. */
const NOTHING = {
  Uid: [NOBODY, NOBODY, NOBODY, NOBODY].join('\t'),
  Gid: [NOBODY, NOBODY, NOBODY, NOBODY].join('\t'),
  Groups: '',
  CapInh: '0',
  CapPrm: '0',
  CapEff: '0',
  CapAmb: '0',
  NoNewPrivs: '1',
};

function statusOf(pid: number, name: string, thread = pid): string {
  const status = readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8');
  const value = new RegExp(`^${name}:[ \\t]*(.*?)[ \\t]*$`, 'm').exec(status)?.[1] ?? 'missing';
  return value.replace(/^0+(?=[0-9a-f])/, '');
}

function oomScoreOf(pid: number): string {
  return readFileSync(`/proc/${pid}/oom_score_adj`, 'utf8').trim();
}

/** Ways to start with privileges that becoming another user does not take away by itself. */
const BURDENS: readonly [string, StartOptions['through']][] = [
  ['supplementary groups', ['setpriv', '--groups', '4,24']],
  ['capabilities that are inherited', ['setpriv', '--inh-caps', '+net_raw,+net_bind_service']],
  ['a uid that keeps capabilities', ['setpriv', '--securebits', '+no_setuid_fixup']],
];

for (const [name, through = []] of BURDENS) {
  t.test(`--user leaves nothing of ${name}`, { skip: onlyRoot }, async (t) => {
    const args = ['--workers', '2', '--user', 'nobody'];
    const server = await TestServer.start(t, { through, args });
    for (const pid of [server.pid, ...server.workerPids]) {
      for (const [field, wanted] of Object.entries(NOTHING)) {
        t.equal(
          statusOf(pid, field),
          wanted,
          `${field} of ${pid === server.pid ? 'the manager' : 'a worker'}`,
        );
      }
    }
    const clients = await Clients.open(t, server.port, 20);
    t.equal(await clients.answering(), 20, 'it serves');
    const told = server.log.filter(({ msg }) => msg.startsWith('serving as root'));
    t.equal(told.length, 0, 'no line says that root serves');
    await server.stop();
  });
}

t.test('a user that cannot be set prevents the start', { skip: onlyRoot }, async (t) => {
  const ports = ['--port', '0', '--admin-port', '0'];
  const command = new Command(['serve', ...ports, '--user', 'nobody'], {
    through: ['setpriv', '--bounding-set', '-setgid'],
  });
  const { code, stderr } = await command.run();
  t.match(stderr, /^megacomet-ts: --user: "nobody" cannot be set \(setgroups: EPERM\)\n$/);
  t.equal(code, 1);
});

t.test('serving as root is one warning that names the fix', { skip: onlyRoot }, async (t) => {
  const server = await TestServer.start(t, { args: ['--workers', '2'] });
  await server.logged(/^serving as root/);
  const told = server.log.filter(({ msg }) => msg.startsWith('serving as root'));
  t.equal(told.length, 1, 'one line');
  t.match(told[0]?.msg, '--user NAME drops privileges', 'the fix');
  t.equal(told[0]?.level, 40, 'a warning');
  await server.stop();
});

/** Forms of --user, with the user and the group that they mean. */
const USERS: readonly [user: string, uid: string, gid: string][] = [
  ['nobody:nogroup', NOBODY, NOBODY],
  ['65532', '65532', '65532'],
  ['1000:1000', '1000', '1000'],
  ['nobody:7', NOBODY, '7'],
];

for (const [user, uid, gid] of USERS) {
  t.test(`--user ${user} serves as that user and group`, { skip: onlyRoot }, async (t) => {
    const server = await TestServer.start(t, { args: ['--workers', '1', '--user', user] });
    for (const pid of [server.pid, ...server.workerPids]) {
      t.equal(statusOf(pid, 'Uid'), [uid, uid, uid, uid].join('\t'));
      t.equal(statusOf(pid, 'Gid'), [gid, gid, gid, gid].join('\t'));
      t.equal(statusOf(pid, 'Groups'), '');
    }
    await server.stop();
  });
}

const WITHOUT_PATH = ['bash', '-c', 'shift; export PATH=/nowhere; exec /usr/bin/env "$@"', '-'];

t.test('without getent in PATH, --user is looked up in /etc', { skip: onlyRoot }, async (t) => {
  const args = ['--workers', '1', '--user', 'nobody:nogroup'];
  const server = await TestServer.start(t, { args, through: WITHOUT_PATH });
  t.equal(statusOf(server.pid, 'Uid'), NOTHING.Uid);
  t.equal(statusOf(server.pid, 'Gid'), NOTHING.Gid);
  await server.stop();
});

t.test('a worker of root has no capability in any thread', { skip: onlyRoot }, async (t) => {
  const server = await TestServer.start(t, { args: ['--workers', '2'] });
  for (const pid of server.workerPids) {
    const threads = readdirSync(`/proc/${pid}/task`).map(Number);
    t.ok(threads.length > 1, 'Node has threads');
    for (const thread of threads) {
      for (const name of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb']) {
        t.equal(statusOf(pid, name, thread), '0', `${name} of thread ${thread}`);
      }
    }
    t.equal(statusOf(pid, 'NoNewPrivs'), '1');
  }
  const clients = await Clients.open(t, server.port, 20);
  t.equal(await clients.answering(), 20, 'it serves');
  await server.stop();
});

/** Where the descriptors of a process lead. */
function filesOf(pid: number): string[] {
  const folder = `/proc/${pid}/fd`;
  return readdirSync(folder).flatMap((fd) => {
    try {
      return readlinkSync(`${folder}/${fd}`);
    } catch {
      return [];
    }
  });
}

const WITH_DESCRIPTORS = 'exec 8</etc/passwd 17</etc/passwd 200</etc/passwd; exec "$@"';

for (const [kernel, preload] of [
  ['this kernel', undefined],
  ['a kernel without close_range', 'no-close-range.c'],
] as const) {
  t.test(`on ${kernel} workers inherit no descriptor of the starter`, async (t) => {
    const library = preload && compile(t, preload, '-shared', '-fPIC');
    const server = await TestServer.start(t, {
      args: ['--workers', '2'],
      through: ['bash', '-c', WITH_DESCRIPTORS, '-'],
      ...(library === undefined ? {} : { env: { LD_PRELOAD: library } }),
    });
    t.ok(filesOf(server.pid).includes('/etc/passwd'), 'the manager has them');
    for (const pid of server.workerPids) t.notOk(filesOf(pid).includes('/etc/passwd'));
    const clients = await Clients.open(t, server.port, 20);
    t.equal(await clients.answering(), 20, 'it serves');
    await server.stop();
  });
}

t.test('a process of the same user cannot read the manager', { skip: onlyRoot }, async (t) => {
  const as = ['setpriv', '--reuid', NOBODY, '--regid', NOBODY, '--clear-groups'];
  const server = await TestServer.start(t, { args: ['--workers', '1'], through: as });
  const read = (path: string): string =>
    // No command from PATH: that user may not reach all of its folders.
    command('setpriv', ...as.slice(1), '/bin/sh', '-c', `(: <${path}) 2>&1 || :`);
  for (const name of ['environ', 'mem']) {
    t.match(read(`/proc/${server.pid}/${name}`), 'Permission denied', name);
  }
  t.equal(read(`/proc/${server.workerPids[0]}/environ`), '', 'a worker');
  const stats = await server.stats();
  t.ok(Number(stats.memory.managerPrivateBytes) > 0, 'it can read its own memory use');
  t.ok(stats.memory.privateBytes > 0, 'and that of the workers');
  await server.stop();
});

t.test('of a server the kernel ends a worker first when memory runs out', async (t) => {
  const server = await TestServer.start(t, { args: ['--workers', '2'] });
  t.equal(oomScoreOf(server.pid), oomScoreOf(process.pid), 'the manager is as it was started');
  for (const pid of server.workerPids) t.equal(oomScoreOf(pid), '500', 'a worker offers itself');
  await server.stop();
});
