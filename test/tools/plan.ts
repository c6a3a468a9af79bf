// `plan`: it uses the doctor's formulas, writes the files that it prints, and no value shrinks when
// the target grows.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import fc from 'fast-check';
import t from 'tap';

import type { Diagnosis } from '../../lib/doctor/doctor.js';
import {
  planMachine,
  stockMachine,
  type MachinePlan,
  type PlanAim,
} from '../../lib/doctor/machine-plan.js';
import { dropInFile, sysctlFile } from '../../lib/doctor/fix.js';
import {
  descriptorsNeeded,
  filesNeeded,
  memoryNeeded,
  reserveBytes,
  watchesNeeded,
  type Load,
} from '../../lib/capacity/sizing.js';
import { root, run } from '../support/helpers.js';
import {
  diagnosisOf,
  idsOf,
  MILLION,
  withFiles,
  withSysctls,
} from '../support/machines/recorded.js';

const GIB = 2 ** 30;
const COSTS = { pageBytes: 4096, connectionBytes: 4100, clientBytes: 4300 };
const AIM: PlanAim = {
  target: 1_000_000,
  workers: 'auto',
  acceptRate: 0,
  broadcastBytes: 1024,
  pingS: 25,
};

t.test('a plan for one and two million has the values computed by hand', (t) => {
  const one = planMachine(AIM);
  // 16,667 accepts/s of 5.5 µs, 40,000 heartbeats/s of 11 µs, and cores at most half busy.
  t.equal(one.cpu.storm.toFixed(3), '0.092');
  t.equal(one.cpu.ping.toFixed(2), '0.44');
  t.equal(one.cpu.cores, 2);
  t.equal(one.workers, 2);
  t.equal(one.memory.kernelBytes, 4_100_000_000);
  t.equal(one.memory.userBytes, 214_000_000, '96 bytes each, 2 workers and the manager');
  t.equal(one.memory.burstBytes, 2_024_000_000);
  t.equal(one.memory.machineBytes, 16 * GIB, 'a page for each is 3.8 GiB, at most a third of it');
  t.equal(one.network.pingPackets, 40_000);
  // 6 bytes of payload, and 66 bytes of headers in each direction.
  t.equal(one.network.pingBitsPerSecond, 40_000 * 1104);
  t.equal(one.network.broadcastBits, 1e6 * 8 * (1024 + 132));
  t.equal(planMachine({ ...AIM, broadcastBytes: 0 }).memory.machineBytes, 8 * GIB, 'idle');
  t.equal(planMachine({ ...AIM, broadcastBytes: 3000 }).network.broadcastBits / 8e6, 3000 + 396);
  const two = planMachine({ ...AIM, target: 2_000_000 });
  t.equal(two.memory.machineBytes, 32 * GIB);
  t.equal(two.cpu.cores, 3);
  const quiet = planMachine({ ...AIM, pingS: 0, broadcastBytes: 0 });
  t.equal(quiet.network.pingPackets + quiet.network.broadcastBits + quiet.cpu.ping, 0);
  t.end();
});

t.test('each machine of a cluster has the values of docs/cluster.md', (t) => {
  const aim = { ...AIM, target: 10_000_000, broadcastBytes: 300 };
  const plan = planMachine({ ...aim, nodes: 6, messageRate: 20_000 });
  t.equal(plan.target, 2_000_000, 'five hold all while one is away');
  t.equal(plan.cpu.apply, 0.06);
  const { engineReceivedBitsPerSecond: received, engineSentBitsPerSecond: sent } = plan.cluster ?? {
    engineReceivedBitsPerSecond: NaN,
    engineSentBitsPerSecond: NaN,
  };
  // 20,000 messages of 300 + 100 bytes, and 1,000 entries and a tick of 160 bytes of each node.
  t.equal(received, 8 * (20_000 * 400 + 6 * 1001 * 160));
  t.equal(sent, 6 * received);
  const guide = readFileSync(join(root, 'docs/cluster.md'), 'utf8').replace(/\s+/g, ' ');
  t.match(
    guide,
    `receives ${Math.round(received / 1e6)} Mbit/s and sends ${Math.round(sent / 1e6)}`,
  );
  const single = planMachine({ ...AIM, target: 2_000_000, broadcastBytes: 300 });
  t.same(plan.memory, single.memory, 'a node needs the memory of a single server');
  t.equal(single.cluster, null);
  const quiet = planMachine({ ...aim, nodes: 6, messageRate: 0 });
  t.equal(quiet.cluster?.engineReceivedBitsPerSecond, 8 * 6 * 160, 'ticks alone');
  t.end();
});

t.test('TLS needs memory for its state, and cores for handshakes', (t) => {
  const tls = planMachine({ ...AIM, tls: { tls12Connections: 10_000 } });
  // 16,667 reconnects/s of 5.5 + 332 µs, and the heartbeats, at most half busy.
  t.equal(tls.cpu.storm.toFixed(2), '5.63');
  t.equal(tls.cpu.cores, 13);
  t.match(tls.tls, { stateBytes: 192e6, tls12Bytes: 290e6, handshakeBytes: 13 * 512 * 62_000 });
  t.equal(tls.tls?.resumedSeconds.toFixed(1), '16.6');
  t.equal(tls.tls?.fullSeconds.toFixed(1), '25.5');
  const plain = planMachine({ ...AIM, workers: 13 });
  t.equal(plain.tls, null);
  const parts = 192e6 + 290e6 + 13 * 512 * 62_000;
  t.equal(tls.memory.userBytes - plain.memory.userBytes, parts, 'a part of the processes');
  t.end();
});

t.test('the commands count TLS with --tls', async (t) => {
  const { code, stdout } = await run(['plan', '--tls']);
  t.equal(code, 0);
  t.match(
    stdout,
    /^tls {6}of the processes 183 MiB for connections, 277 MiB for clients with TLS/m,
  );
  t.match(stdout, /all clients reconnect in 17 s of 13 cores\n {9}with tickets, in 26 s without/);
  const doctor = await run(['doctor', '--tls', '--target', '1000', '--json', '--workers', '1']);
  const { findings } = JSON.parse(doctor.stdout) as Diagnosis;
  t.match(
    findings.find(({ id }) => id === 'TLS handshakes'),
    { severity: 'ok', needed: '1,000/s' },
  );
  const { stderr } = await run(['plan', '--tls12-connections', '5']);
  t.match(stderr, /--tls12-connections: 5 needs --tls/);
});

/** Asserts the values of a plan by the formulas of lib/capacity/sizing.ts. */
function assertFormulas({ target, workers, memory, files }: MachinePlan, aim: PlanAim): void {
  const load: Load = {
    connections: target,
    clients: 0,
    workers,
    acceptRate: aim.acceptRate,
    burst: aim.broadcastBytes > 0 ? 1 : 0,
    messageBytes: aim.broadcastBytes,
  };
  const { machineBytes, reserveBytes: reserve, ...need } = memory;
  t.same(need, memoryNeeded(load, COSTS));
  t.equal(reserve, reserveBytes(machineBytes));
  const sum = need.kernelBytes + need.userBytes + need.burstBytes + need.fragmentationBytes;
  t.ok(sum <= machineBytes - reserve, 'the parts fit into the machine');
  t.same(files, {
    perWorker: descriptorsNeeded(load),
    host: filesNeeded(load),
    epollWatches: watchesNeeded(load),
  });
}

t.test('the values of a plan match the formulas', (t) => {
  for (const aim of [
    AIM,
    { ...AIM, target: 2_000_000 },
    { ...AIM, target: 100, broadcastBytes: 0 },
    { ...AIM, workers: 64, acceptRate: 50_000 },
  ]) {
    assertFormulas(planMachine(aim), aim);
  }
  t.end();
});

/** The lines that set a value. */
const settings = (text: string): string[] =>
  text.split('\n').filter((line) => /^-?[\w.-]+ ?=/.test(line));

/** The diagnosis of a planned machine with both files applied. */
function tuned(plan: MachinePlan, broadcastBytes: number): Diagnosis {
  const stock = stockMachine(plan.memory.machineBytes, plan.cpu.cores);
  const { findings } = plan.diagnosis;
  const sysctls = findings.flatMap(({ fix }) =>
    fix?.kind === 'sysctl' ? [[fix.key, fix.value] as const] : [],
  );
  const drop = dropInFile(plan.diagnosis) ?? '';
  const nofile = /LimitNOFILE=(\d+)/.exec(drop)?.[1] ?? '524288';
  const backlog = Number(/MEGACOMET_BACKLOG=(\d+)/.exec(drop)?.[1] ?? 4096);
  const limits = `Max open files            1024                 ${nofile}       files\n`;
  const machine = withSysctls(
    withFiles(stock, { '/proc/self/limits': limits }),
    Object.fromEntries(sysctls),
  );
  const { target, workers } = plan;
  const message = { messageBurst: Math.sign(broadcastBytes), messageBytes: broadcastBytes };
  return diagnosisOf(machine, { ...MILLION, target, workers, backlog, ...message });
}

t.test('with both files applied the planned machine holds its target', (t) => {
  for (const target of [1000, 100_000, 1_000_000, 2_000_000, 5_000_000]) {
    for (const broadcastBytes of [0, 1024]) {
      const plan = planMachine({ ...AIM, target, broadcastBytes });
      const diagnosis = tuned(plan, broadcastBytes);
      t.same(idsOf(diagnosis, 'critical'), [], `${target}: nothing critical`);
      const left = idsOf(diagnosis, 'warning').filter((id) => !id.endsWith('ehash_entries'));
      t.same(left, [], `${target}: no warning except the one about the boot line`);
    }
  }
  t.end();
});

t.test('no value shrinks when the target grows', (t) => {
  const values = ({ memory, cpu, network, files }: MachinePlan): number[] => [
    ...[memory.kernelBytes, memory.burstBytes, memory.fragmentationBytes, memory.machineBytes],
    ...[memory.userBytes, memory.reserveBytes],
    ...[cpu.ping, cpu.cores, cpu.broadcastSeconds, cpu.storm],
    ...[network.pingPackets, network.pingBitsPerSecond, network.broadcastBits],
    ...[files.host, files.epollWatches],
  ];
  const property = fc.property(
    fc.integer({ min: 1, max: 50_000_000 }),
    fc.integer({ min: 0, max: 1_000_000 }),
    fc.constantFrom(0, 1, 1024, 100_000),
    (target, more, broadcastBytes) => {
      const small = values(planMachine({ ...AIM, target, broadcastBytes }));
      const large = values(planMachine({ ...AIM, target: target + more, broadcastBytes }));
      return small.every((value, index) => value <= (large[index] ?? 0));
    },
  );
  t.doesNotThrow(() => {
    fc.assert(property, { numRuns: 200 });
  });
  t.end();
});

t.test('the command prints the files that --write writes', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'megacomet-plan-'));
  t.teardown(() => {
    rmSync(folder, { recursive: true });
  });
  const args = ['plan', '--target', '2000000', '--ping', '30', '--write', folder];
  const { code, stdout, stderr } = await run(args);
  t.equal(code, 0, stderr);
  t.match(
    stdout,
    /^A machine for 2,000,000 connections: 32\.0 GiB of memory, \d+ cores, \d+ workers$/m,
  );
  for (const noun of ['memory', 'cpu', 'network', 'files'])
    t.match(stdout, new RegExp(`^${noun} `, 'm'));
  const plan = planMachine({ ...AIM, target: 2_000_000, pingS: 30 });
  const files = {
    '90-megacomet.conf': sysctlFile(plan.diagnosis) ?? '',
    'megacomet.service.d/90-megacomet.conf': dropInFile(plan.diagnosis) ?? '',
  };
  for (const [name, text] of Object.entries(files)) {
    t.equal(readFileSync(join(folder, name), 'utf8'), text, name);
    t.ok(stdout.includes(text.trimEnd()), `${name} is printed`);
    t.ok(settings(text).length > 0, `${name} sets something`);
  }
  const again = await run(args);
  t.equal(again.stdout.match(/^unchanged /gm)?.length, 2, 'the second run changes nothing');
});

t.test('--json has the same values', async (t) => {
  const { code, stdout } = await run([
    'plan',
    '--target',
    '50000',
    '--broadcast-bytes',
    '0',
    '--json',
  ]);
  t.equal(code, 0);
  const result = JSON.parse(stdout) as MachinePlan & { written: unknown[] };
  const { written, ...plan } = result;
  t.same(written, []);
  t.same(plan, planMachine({ ...AIM, target: 50_000, broadcastBytes: 0 }));
  t.same(Object.keys(plan).sort(), [
    'cluster',
    'cpu',
    'diagnosis',
    'files',
    'memory',
    'network',
    'target',
    'tls',
    'workers',
  ]);
});
