// Limits of memory: of the machine, and of its cgroups.
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
  formatCount,
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
  // Only root can measure the slab, and the known sizes hold for 4 KiB pages only.
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
        `${size(need.burstBytes)} + reserve ${size(reserve)} + 40 % of the kernel memory`,
      why:
        (severity === 'warning'
          ? 'The target fits only while memory is not fragmented; sockets in fragmented memory ' +
            'take 60 % more'
          : 'Sockets are kernel memory, which cannot be swapped; without free memory the kernel ' +
            'kills a process') +
        (isGuess ? ' (run as root to measure socket sizes with pages of this size).' : '.'),
      counters: [vmCounter(situation, 'oom_kill')],
      connections,
      fix: severity === 'ok' ? null : { kind: 'advice', text: 'use a machine with more memory' },
    }),
  ];
};

/** How often the group hit its limit: kills in version 2, failed charges in version 1. */
function groupCounter({ machine }: Situation, { folder, isV2 }: MemoryGroup): CounterReading {
  const name = isV2 ? 'memory.events oom_kill' : 'memory.failcnt';
  const text = machine.read(`${folder}/${isV2 ? 'memory.events' : 'memory.failcnt'}`) ?? '';
  const match = (isV2 ? /^oom_kill (\d+)/m : /^(\d+)/).exec(text);
  return { name, value: match === null ? null : Number(match[1]) };
}

/** The fix for the limit of a group: in the container's options, in the unit, or in the group. */
function raiseGroup(situation: Situation, { folder }: MemoryGroup, needed: number): Fix {
  const value = String(needed);
  if (isConfined(situation)) {
    return { kind: 'advice', text: `docker run --memory ${value}, or limits.memory of the pod` };
  }
  // A directive of the service does not raise the limit of a group above it.
  return folder.endsWith('.service')
    ? { kind: 'unit', directive: 'MemoryMax', value }
    : { kind: 'advice', text: `raise the memory limit of ${folder} to ${value} bytes` };
}

function checkGroup(situation: Situation, group: MemoryGroup): Finding {
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
      'The kernel charges sockets to the group, and data in whole pages; above the limit it kills ' +
      'a process, even one that uses little memory itself.',
    counters: [groupCounter(situation, group)],
    connections,
    fix: isEnough ? null : raiseGroup(situation, group, needed),
  });
}

const cgroups: Check = (situation) => {
  const groups = situation.memoryGroups;
  if (groups.length > 0) return groups.map((group) => checkGroup(situation, group));
  return [skipped('memory cgroup', 'process', 'no cgroup of this process limits memory')];
};

/** Above this rate of new sockets and this memory, allocations may be faster than the reclaim. */
const MIN_FREE_RATE = 20_000;
const MIN_FREE_MEMORY = 16 * 2 ** 30;

const minFree: Check = (situation) => {
  const { load, machine, memory } = situation;
  const key = 'vm.min_free_kbytes';
  const current = sysctl(machine.read, key);
  if (current === null) return [skipped(key, 'host', 'this container hides it')];
  const applies = load.acceptRate > MIN_FREE_RATE && memory.totalBytes >= MIN_FREE_MEMORY;
  const needed = applies ? Math.max(current, minFreeKilobytes(memory.totalBytes)) : current;
  return [
    finding({
      id: key,
      scope: 'host',
      severity: current < needed ? 'info' : 'ok',
      current: formatCount(current),
      needed: applies ? formatCount(needed) : null,
      formula: applies ? 'min(memory / 100, 256 MiB), above 20,000 new sockets/s' : '',
      why: 'The kernel cannot wait when it allocates an accepted socket, so it needs free pages.',
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
  if (current === null) return [skipped('vm.swappiness', 'host', 'this kernel does not have it')];
  return [
    finding({
      id: 'vm.swappiness',
      scope: 'host',
      severity: 'ok',
      current: String(current),
      needed: null,
      formula: '',
      why: 'Leave it: sockets cannot be swapped at any value.',
    }),
  ];
};

const hugePages: Check = ({ machine }) => {
  const text = machine.read('/sys/kernel/mm/transparent_hugepage/enabled');
  const current = /\[(\w+)\]/.exec(text ?? '')?.[1];
  if (current === undefined) {
    return [skipped('transparent huge pages', 'host', 'this kernel does not have them')];
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
        'With "always" a worker may take 2 MiB when it touches 4 KiB; kernel memory is not ' +
        'affected.',
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
