// Memory of the machine and of its cgroups.
import { readMemInfo, sysctl, type MemoryGroup } from '../../system/kernel.js';
import {
  cgroupBytesNeeded,
  connectionsInCgroup,
  connectionsInMemory,
  memoryNeeded,
  minFreeKilobytes,
  reserveBytes,
} from '../../capacity/sizing.js';
import {
  figure,
  finding,
  isConfined,
  onlyFor,
  fixFor,
  size,
  skipped,
  tcpCounter,
  vmCounter,
  type Check,
  type CounterReading,
  type Finding,
  type Fix,
  type Severity,
  type Situation,
} from '../finding.js';

const ram: Check = (situation) => {
  const { costs, load, memory, target } = situation;
  const need = memoryNeeded(load, costs);
  const reserve = reserveBytes(memory.totalBytes);
  const needed =
    need.kernelBytes + need.userBytes + need.burstBytes + need.fragmentationBytes + reserve;
  const connections = connectionsInMemory(memory.availableBytes, reserve, load, costs);
  const severity: Severity =
    connections < target ? 'critical' : memory.availableBytes < needed ? 'warning' : 'ok';
  // Without root the slab cannot be measured, and the sizes of 4 KiB pages hold for no others.
  const isGuess = !costs.isMeasured && costs.pageBytes !== 4096;
  return [
    finding({
      id: 'memory',
      scope: 'host',
      severity: isGuess && severity === 'ok' ? 'info' : severity,
      current: `${size(memory.availableBytes)} available of ${size(memory.totalBytes)}`,
      needed: size(needed),
      formula:
        `kernel ${load.connections} · ${costs.connectionBytes} + ${load.clients} · ` +
        `${costs.clientBytes} + processes ${size(need.userBytes)} + burst ` +
        `${size(need.burstBytes)} + reserve ${size(reserve)} + 40 % of the kernel's part`,
      why:
        (severity === 'warning'
          ? 'It fits while memory is unfragmented; without the reserve the kernel then ' +
            'spends 60 % more'
          : 'Sockets are kernel memory that cannot be swapped; beyond it somebody is killed') +
        (isGuess ? ' (run as root to measure socket sizes with these pages).' : '.'),
      counters: [vmCounter(situation, 'oom_kill')],
      connections,
      fix: severity === 'ok' ? null : { kind: 'advice', text: 'take a machine with more memory' },
    }),
  ];
};

/** Times the group hit its limit: kills in version 2, failed charges in version 1. */
function groupCounter({ machine }: Situation, { folder, isV2 }: MemoryGroup): CounterReading {
  const name = isV2 ? 'memory.events oom_kill' : 'memory.failcnt';
  const text = machine.read(`${folder}/${isV2 ? 'memory.events' : 'memory.failcnt'}`) ?? '';
  const match = (isV2 ? /^oom_kill (\d+)/m : /^(\d+)/).exec(text);
  return { name, value: match === null ? null : Number(match[1]) };
}

/** Raises the limit where it is set: at the container, in the service's unit, or at its group. */
function raiseGroup(situation: Situation, { folder }: MemoryGroup, needed: number): Fix {
  const value = String(needed);
  if (isConfined(situation)) {
    return { kind: 'advice', text: `docker run --memory ${value}, or limits.memory of the pod` };
  }
  // A directive of the service would not raise what is limited further up.
  return folder.endsWith('.service')
    ? { kind: 'unit', directive: 'MemoryMax', value }
    : { kind: 'advice', text: `raise the memory limit of ${folder} to ${value} bytes` };
}

function judgeGroup(situation: Situation, group: MemoryGroup): Finding {
  const { costs, load } = situation;
  const needed = cgroupBytesNeeded(load, costs);
  const connections = connectionsInCgroup(group.limitBytes, load, costs);
  const isEnough = connections >= situation.target;
  return finding({
    id: `memory cgroup ${group.folder}`,
    scope: 'process',
    severity: isEnough ? 'ok' : 'critical',
    current: size(group.limitBytes),
    needed: size(needed),
    formula:
      `1.2 · (${load.connections} · (${costs.connectionBytes} + 196 + ${load.burst} · pages of ` +
      `${load.messageBytes} bytes) + ${load.clients} · (${costs.clientBytes} + 196)) + processes`,
    why:
      'Sockets are charged to the group, data in whole pages: beyond the limit a process with a ' +
      'tiny memory of its own is killed.',
    counters: [groupCounter(situation, group)],
    connections,
    fix: isEnough ? null : raiseGroup(situation, group, needed),
  });
}

const cgroups: Check = (situation) => {
  const groups = situation.memoryGroups;
  if (groups.length > 0) return groups.map((group) => judgeGroup(situation, group));
  return [skipped('memory cgroup', 'process', 'no cgroup from here to the root limits memory')];
};

/** Rate of new sockets, and memory, from which atomic allocations may outrun the reclaim. */
const MIN_FREE_RATE = 20_000;
const MIN_FREE_MEMORY = 16 * 2 ** 30;

const minFree: Check = (situation) => {
  const { load, machine, memory } = situation;
  const key = 'vm.min_free_kbytes';
  const current = sysctl(machine.read, key);
  if (current === null) return [skipped(key, 'host', 'this container does not show it')];
  const applies = load.acceptRate > MIN_FREE_RATE && memory.totalBytes >= MIN_FREE_MEMORY;
  const needed = applies ? Math.max(current, minFreeKilobytes(memory.totalBytes)) : current;
  return [
    finding({
      id: key,
      scope: 'host',
      severity: current < needed ? 'info' : 'ok',
      current: figure(current),
      needed: applies ? figure(needed) : null,
      formula: applies ? 'min(memory / 100, 256 MiB), where over 20,000 sockets/s are made' : '',
      why: 'Accepted sockets are allocated where the kernel cannot wait: it needs free pages then.',
      counters: [
        tcpCounter(situation, 'PFMemallocDrop'),
        vmCounter(situation, 'allocstall_normal'),
      ],
      fix: current < needed ? fixFor(situation, 'host', key, String(needed)) : null,
    }),
  ];
};

const swappiness: Check = ({ machine }) => {
  const current = sysctl(machine.read, 'vm.swappiness');
  if (current === null) return [skipped('vm.swappiness', 'host', 'this kernel has none')];
  return [
    finding({
      id: 'vm.swappiness',
      scope: 'host',
      severity: 'ok',
      current: String(current),
      needed: null,
      formula: '',
      why: 'Sockets cannot be swapped, whatever it says: leave it.',
    }),
  ];
};

const hugePages: Check = ({ machine }) => {
  const text = machine.read('/sys/kernel/mm/transparent_hugepage/enabled');
  const current = /\[(\w+)\]/.exec(text ?? '')?.[1];
  if (current === undefined) {
    return [skipped('transparent huge pages', 'host', 'this kernel has none')];
  }
  return [
    finding({
      id: 'transparent huge pages',
      scope: 'host',
      severity: current === 'always' ? 'info' : 'ok',
      current,
      needed: 'madvise or never',
      formula: '',
      why:
        'With "always" a worker may take 2 MiB where it touches 4 KiB; the kernel part ' +
        'is not affected.',
      counters: [
        { name: 'AnonHugePages (bytes now)', value: readMemInfo(machine.read, 'AnonHugePages') },
      ],
      fix:
        current === 'always'
          ? { kind: 'advice', text: 'transparent_hugepage=madvise on the boot line' }
          : null,
    }),
  ];
};

export const memoryChecks: readonly Check[] = [
  ram,
  cgroups,
  onlyFor('server', ['vm.min_free_kbytes'], 'host', minFree),
  swappiness,
  hugePages,
];
