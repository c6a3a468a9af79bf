// The user and the privileges that serve: --user leaves nothing of root, and serving as root is logged.
import { readFileSync } from 'node:fs';

import t from 'tap';

import { Clients, Command, TestServer, type StartOptions } from '../support/helpers.js';
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

function statusOf(pid: number, name: string): string {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
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

t.test('of a server the kernel ends a worker first when memory runs out', async (t) => {
  const server = await TestServer.start(t, { args: ['--workers', '2'] });
  t.equal(oomScoreOf(server.pid), oomScoreOf(process.pid), 'the manager is as it was started');
  for (const pid of server.workerPids) t.equal(oomScoreOf(pid), '500', 'a worker offers itself');
  await server.stop();
});
