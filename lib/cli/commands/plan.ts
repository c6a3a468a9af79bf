// `megacomet-ts plan`: prints the machine that a number of connections needs.
import { readSettings } from '../../options/config.js';
import type { ClusterNeed } from '../../capacity/cluster-sizing.js';
import type { Diagnosis } from '../../doctor/doctor.js';
import { formatCount, size } from '../../doctor/finding.js';
import { planMachine, type MachinePlan, type TlsPlan } from '../../doctor/machine-plan.js';
import { dropInFile, sysctlFile, SYSCTL_NAME, DROP_IN_NAME, writeFiles } from '../../doctor/fix.js';
import type { Output } from '../output.js';
import { tlsOf } from '../tls-load.js';

/** Advice that no file can carry out, such as a parameter on the boot line. */
function byHand({ findings }: Diagnosis): string[] {
  const texts = findings.flatMap(({ fix }) => (fix?.kind === 'advice' ? [fix.text] : []));
  return texts.length === 0 ? [] : ['', 'By hand:', ...texts.map((text) => `  ${text}`)];
}

/** The link speed for which broadcast times are given. */
const LINK_BITS = 10e9;

function tlsLines(tls: TlsPlan, cores: number): string[] {
  return [
    `tls      of the processes ${size(tls.stateBytes)} for connections, ${size(tls.tls12Bytes)} for clients ` +
      `with TLS 1.2,`,
    `         ${size(tls.handshakeBytes)} for handshakes; all clients reconnect in ` +
      `${Math.ceil(tls.resumedSeconds)} s of ${cores} cores`,
    `         with tickets, in ${Math.ceil(tls.fullSeconds)} s without`,
  ];
}

const megabits = (bits: number): string => `${(bits / 1e6).toFixed(1)} Mbit/s`;

function clusterLines(cluster: ClusterNeed): string[] {
  return [
    `cluster  ${cluster.nodes} such machines, of which one may be away; ` +
      `${cluster.applyCores.toFixed(2)} cores of each for the messages of all;`,
    `         the engine receives ${megabits(cluster.engineReceivedBitsPerSecond)} and sends ` +
      megabits(cluster.engineSentBitsPerSecond),
  ];
}

function formatPlan({
  target,
  workers,
  memory,
  cpu,
  network,
  files,
  tls,
  cluster,
  diagnosis,
}: MachinePlan): string {
  const seconds = (network.broadcastBits / LINK_BITS).toFixed(1);
  const blocks = [
    `A machine for ${formatCount(target)} connections: ${size(memory.machineBytes)} of memory, ` +
      `${cpu.cores} cores, ${workers} workers`,
    '',
    `memory   kernel ${size(memory.kernelBytes)}, processes ${size(memory.userBytes)}, ` +
      `one message to all clients ${size(memory.burstBytes)},`,
    `         fragmentation ${size(memory.fragmentationBytes)}, ` +
      `reserve for the system ${size(memory.reserveBytes)}`,
    `cpu      ${cpu.storm.toFixed(2)} cores while all clients reconnect, ` +
      `${cpu.ping.toFixed(2)} cores for heartbeats,`,
    `         ${cpu.broadcastSeconds.toFixed(1)} s of one core for one message to all clients`,
    `network  heartbeats: ${formatCount(network.pingPackets)} packets/s each way, ` +
      `${(network.pingBitsPerSecond / 1e6).toFixed(1)} Mbit/s;`,
    `         one message to all clients: ${(network.broadcastBits / 1e9).toFixed(1)} Gbit, ` +
      `${seconds} s at 10 Gbit/s`,
    `files    ${formatCount(files.perWorker)} per worker (LimitNOFILE), ${formatCount(files.host)} for ` +
      `the host (fs.file-max), ${formatCount(files.epollWatches)} epoll watches`,
    ...(tls === null ? [] : tlsLines(tls, cpu.cores)),
    ...(cluster === null ? [] : clusterLines(cluster)),
    '',
    'Settings that a stock Debian on this machine needs:',
    '',
    `--- ${SYSCTL_NAME}`,
    sysctlFile(diagnosis) ?? '# nothing\n',
    `--- ${DROP_IN_NAME}`,
    (dropInFile(diagnosis) ?? '# nothing\n').trimEnd(),
    ...byHand(diagnosis),
  ];
  return blocks.join('\n');
}

/** Runs the command; resolves to the exit code. */
export async function plan(flags: Record<string, unknown>, output: Output): Promise<number> {
  const settings = readSettings('plan', { flags, env: process.env });
  const result = planMachine({
    target: settings['target'] as number,
    workers: settings['workers'] as number | 'auto',
    acceptRate: settings['acceptRate'] as number,
    broadcastBytes: settings['broadcastBytes'] as number,
    pingS: settings['ping'] as number,
    nodes: settings['nodes'] as number,
    messageRate: settings['messageRate'] as number,
    ...tlsOf(settings),
  });
  const folder = settings['write'] as string | undefined;
  const written = folder === undefined ? [] : writeFiles(result.diagnosis, folder);
  await output.print(
    settings['json'] === true
      ? JSON.stringify({ ...result, written }, null, 2)
      : formatPlan(result),
  );
  if (settings['json'] !== true) {
    for (const { file, isChanged } of written)
      await output.print(`${isChanged ? 'written  ' : 'unchanged'} ${file}`);
  }
  return 0;
}
