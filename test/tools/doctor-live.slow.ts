// Exhausts real limits and compares the result with the doctor's prediction: the queue of a listener,
// open files, source ports, connection tracking, and the memory of a control group. Each limit is
// lowered for one test only, in its own namespace or group.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import t from 'tap';

import type { Diagnosis } from '../../lib/doctor/doctor.js';
import {
  Clients,
  connect,
  echoes,
  run,
  TestServer,
  until,
  type StartOptions,
} from '../support/helpers.js';
import { MemoryGroup, noMemoryGroup } from '../support/machines/memory-group.js';
import { Namespace, noNamespace } from '../support/machines/namespace.js';
import { findingOf } from '../support/machines/recorded.js';
import { without } from '../support/requirements.js';

/** Start warnings of a server, as root, on a machine with critical findings. */
const AS_FOUND = [
  /^net\.core\.somaxconn/,
  /^memory cgroup/,
  /^serving as root/,
  /more than memory/,
];
const OVERFLOWS = /^ListenOverflows moved: the listen queue was hit$/;

interface Ask {
  readonly ask: (args: readonly string[], options?: StartOptions) => ReturnType<typeof run>;
  readonly args: readonly string[];
  readonly options?: StartOptions;
}

/** Runs the real doctor. */
async function diagnosisOf({
  ask,
  args,
  options,
}: Ask): Promise<Diagnosis & { code: number | null }> {
  const { code, stdout, stderr } = await ask(['doctor', '--json', ...args], options);
  if (stderr !== '') throw new Error(stderr);
  return { ...(JSON.parse(stdout) as Diagnosis), code };
}

t.test('the doctor predicts a full listen queue', { skip: noNamespace }, async (t) => {
  const namespace = await Namespace.make(t, { 'net.core.somaxconn': 16 });
  const ask = (...args: Parameters<Ask['ask']>): ReturnType<typeof run> => namespace.run(...args);
  const args = ['--target', '1000', '--workers', '1'];
  const before = await diagnosisOf({ ask, args });
  const named = findingOf(before, 'net.core.somaxconn');
  t.match(
    named,
    { severity: 'critical', current: '16', needed: '4,096' },
    'the doctor names the limit',
  );
  t.equal(before.code, 3, 'exit code');
  t.same(named.counters[0], { name: 'TcpExt ListenOverflows', value: 0 });

  const server = await TestServer.start(t, {
    args: ['--port', '8000', '--workers', '1', '--heartbeat-limit', '60'],
    through: namespace.through,
    expectLog: [...AS_FOUND, OVERFLOWS],
  });
  t.ok(await server.logged(/^net\.core\.somaxconn:/), 'the server warns');
  const pid = server.workerPids[0] ?? -1;
  process.kill(pid, 'SIGSTOP');
  const end = await namespace.dial(t, 8000, 200);
  t.same(end, { opened: 17, error: 'HANGS' }, 'a queue of 16 holds 17; the next client hangs');
  const overflows = namespace.counter('ListenOverflows');
  t.ok(overflows > 0, `the counter moved: ${overflows}`);
  process.kill(pid, 'SIGCONT');
  await until('the server to log it', () => server.log.some(({ msg }) => OVERFLOWS.test(msg)));
  const after = findingOf(await diagnosisOf({ ask, args }), 'net.core.somaxconn');
  t.ok(Number(after.counters[0]?.value) >= overflows, 'the doctor reports the counter');
  await server.stop();
});

t.test('the doctor predicts the open files of one process', async (t) => {
  const through = ['prlimit', '--nofile=200:200'];
  const args = ['--target', '1000', '--workers', '1'];
  const { verdict, code } = await diagnosisOf({ ask: run, args, options: { through } });
  t.equal(code, 3, 'exit code');
  t.match(verdict.binding, /^RLIMIT_NOFILE \(200 \(hard\)\)$/, 'the doctor names the limit');
  t.equal(verdict.connections, 103, 'and the number of connections');

  const server = await TestServer.start(t, {
    args: ['--workers', '1'],
    through,
    expectLog: AS_FOUND,
  });
  const first = server.log.find(({ msg }) => msg.startsWith('listening on'))?.msg;
  t.match(
    first,
    new RegExp(`for ${verdict.connections} connections; .*RLIMIT_NOFILE`),
    'serve names the same limit',
  );
  const clients = await Clients.open(t, server.port, verdict.connections);
  t.equal(await clients.answering(), verdict.connections, 'all connections are answered');
  const connectAndEcho = async (): Promise<boolean> => {
    const socket = await connect(server.port).catch(() => null);
    const isAnswered = socket !== null && (await echoes(socket, Buffer.from('x')));
    socket?.destroy();
    return isAnswered;
  };
  const late = await Promise.all(Array.from({ length: 20 }, connectAndEcho));
  t.notOk(late.includes(true), 'no further client is answered');
  t.equal(await server.total('connections'), verdict.connections);
  t.equal(await server.total('acceptFailedTotal'), 0, 'accept never failed');
  await server.stop();
});

t.test('the doctor predicts the ports of one source address', { skip: noNamespace }, async (t) => {
  const namespace = await Namespace.make(t, { 'net.ipv4.ip_local_port_range': '40000 40199' });
  const ask = (...args: Parameters<Ask['ask']>): ReturnType<typeof run> => namespace.run(...args);
  const args = ['--role', 'client', '--target', '1000'];
  const { verdict, code } = await diagnosisOf({ ask, args });
  t.equal(code, 3, 'exit code');
  t.match(verdict.binding, /^net\.ipv4\.ip_local_port_range /, 'the doctor names the limit');
  t.equal(verdict.connections, 200, 'and the number of connections');
  const server = await TestServer.start(t, {
    args: ['--port', '8000', '--admin-port', '9001', '--workers', '1'],
    through: namespace.through,
    expectLog: AS_FOUND,
  });
  const end = await namespace.dial(t, 8000, 1000);
  t.same(
    end,
    { opened: verdict.connections, error: 'EADDRNOTAVAIL' },
    'exactly the predicted number opens',
  );
  await server.stop();
});

const noPacketFilter = noNamespace || without('nft', 'conntrack');

/** Firewall rules that make the kernel track every packet. */
const TRACKING = `table ip test {
  chain in { type filter hook input priority 0; ct state established,new accept; }
  chain out { type filter hook output priority 0; ct state established,new accept; }
}`;

/** Entries of fake connections, as text for `conntrack --load-file`. */
function fakeEntries(count: number): string {
  return Array.from({ length: count }, (_, index) => {
    const [from, port] = [`10.0.${index >> 15}.1`, 1024 + (index & 32_767)];
    return (
      `-A -t 3600 -u SEEN_REPLY,ASSURED -s ${from} -d 10.255.0.1 -r 10.255.0.1 -q ${from} -p tcp ` +
      `--sport ${port} --dport 80 --reply-port-src 80 --reply-port-dst ${port} --state ESTABLISHED\n`
    );
  }).join('');
}

t.test(
  'the doctor predicts a full connection tracking table',
  { skip: noPacketFilter },
  async (t) => {
    const FREE = 200;
    const namespace = await Namespace.make(t);
    // The rules load the module, which creates the sysctl.
    namespace.command('nft', TRACKING);
    const most = Number(namespace.get('net.netfilter.nf_conntrack_max'));
    const file = join(t.testdir(), 'entries');
    writeFileSync(file, fakeEntries(most - FREE));
    // The limit belongs to the host, and lowering it would affect others. So the test fills the table.
    namespace.command('conntrack', '--load-file', file);
    const ask = (...args: Parameters<Ask['ask']>): ReturnType<typeof run> => namespace.run(...args);
    const { verdict, code, ...rest } = await diagnosisOf({ ask, args: ['--target', '1000'] });
    t.equal(code, 3, 'exit code');
    t.match(verdict.binding, /^net\.netfilter\.nf_conntrack_max /, 'the doctor names the limit');
    t.equal(verdict.connections, FREE, 'and the number of connections');
    t.equal(findingOf(rest, 'net.netfilter.nf_conntrack_max').severity, 'critical');
    const applied = await namespace.run(['doctor', '--target', '1000', '--apply']);
    t.equal(applied.code, 4, 'a namespace cannot raise the limit');
    t.match(applied.stdout, /^REJECTED net\.netfilter\.nf_conntrack_max = \d+: E\w+; it is \d+$/m);

    const server = await TestServer.start(t, {
      args: ['--port', '8000', '--admin-port', '9001', '--workers', '1'],
      through: namespace.through,
      expectLog: [...AS_FOUND, /^net\.netfilter\.nf_conntrack_max/],
    });
    const end = await namespace.dial(t, 8000, 1000);
    t.same(
      end,
      { opened: verdict.connections, error: 'HANGS' },
      'exactly the predicted number opens',
    );
    await server.stop();
  },
);

t.test('the doctor predicts the memory of a control group', { skip: noMemoryGroup }, async (t) => {
  const group = MemoryGroup.make(t, 140 * 2 ** 20);
  const options = { through: group.through };
  const args = ['--target', '75000', '--workers', '4', '--message-burst', '0'];
  const { verdict, code } = await diagnosisOf({ ask: run, args, options });
  t.equal(code, 3, 'exit code');
  t.ok(verdict.binding.startsWith(`memory cgroup ${group.folder} `), 'the doctor names the limit');
  t.ok(verdict.connections > 1000, `and a number: ${verdict.connections}`);

  const server = await TestServer.start(t, {
    args: ['--workers', '4', '--max-connections', '79000'],
    through: group.through,
    expectLog: [...AS_FOUND, OVERFLOWS, /^worker died$/, /^RLIMIT_NOFILE/],
  });
  const clients = await Clients.open(t, server.port, verdict.connections);
  t.equal(
    await clients.answering(),
    verdict.connections,
    'the predicted number of connections is held and answered',
  );
  t.equal(group.kills(), 0, 'the kernel kills no process');

  const target = `127.0.0.1:${server.port}`;
  const bench = run(['bench', '--target', target, '--connections', '75000', '--hold', '1']);
  let reached = 0;
  const hasDied = async (): Promise<boolean> => {
    const open = await server.total('connections').catch(() => 0);
    reached = Math.max(reached, open);
    return server.log.some(({ msg }) => msg === 'worker died');
  };
  await until('a worker to be killed', hasDied);
  t.ok(
    reached >= verdict.connections,
    `${reached} were open, ${verdict.connections} were predicted`,
  );
  t.ok(group.kills() > 0, 'the kernel counts the kill');
  t.equal(server.child.exitCode, null, 'the manager keeps running');
  const death = server.log.find(({ msg }) => msg === 'worker died');
  t.match(death, { signal: 'SIGKILL' }, 'and logs the death of the worker');
  await bench;
  await until('a successor', async () => (await server.stats()).workers.every(({ pid }) => pid));
  t.ok((await server.get('/healthz')).ok, 'the server is healthy');
  const again = await diagnosisOf({ ask: run, args, options });
  const counter = findingOf(again, `memory cgroup ${group.folder}`).counters[0];
  t.ok(Number(counter?.value) > 0, `the doctor reports it: ${counter?.name} ${counter?.value}`);
  clients.destroy();
  await server.stop();
});
