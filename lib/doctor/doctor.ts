// The doctor: it runs every check on one machine for one target, and gives the verdict.
// It is pure and takes the machine as a parameter; commands/doctor.ts prints, fix.ts writes.
import { planCapacity, readMachineLimits, workersMax } from '../capacity/capacity.js';
import { acceptingChecks } from './checks/accepting.js';
import { closingChecks } from './checks/closing.js';
import { fileChecks } from './checks/files.js';
import { outdatedAdviceChecks } from './checks/outdated-advice.js';
import { memoryChecks } from './checks/memory.js';
import { pathChecks } from './checks/path.js';
import { portChecks } from './checks/ports.js';
import { notConfigurableChecks } from './checks/not-configurable.js';
import { MegacometError } from '../base/errors.js';
import { formatCount, type Check, type Finding, type Role, type Situation } from './finding.js';
import { readMemoryGroups } from '../system/kernel.js';
import { containerSign, readCosts, readMemory, thisMachine, type Machine } from './machine.js';
import { defaultAcceptRate, type TlsLoad } from '../capacity/sizing.js';

/** The target, and the load for which the doctor checks the machine. */
export interface Aim {
  readonly target: number;
  readonly role: Role;
  readonly workers: number | 'auto';
  /** New connections per second at the worst time; 0: all clients reconnect within a minute. */
  readonly acceptRate: number;
  /** Share of the connections that get a message at the same instant, 0 to 1. */
  readonly messageBurst: number;
  readonly messageBytes: number;
  /** Absent for connections without TLS. */
  readonly tls?: TlsLoad;
  readonly ports: readonly number[];
  readonly backlog: number;
  readonly keepaliveS: number;
  readonly drainS: number;
}

export interface Verdict {
  /** Connections that this machine can hold today. */
  readonly connections: number;
  /** The limit that binds first. */
  readonly binding: string;
  /** Names of the critical findings, including those that do not bound the connections. */
  readonly critical: readonly string[];
  readonly isEnough: boolean;
  readonly sentence: string;
}

export interface Diagnosis {
  readonly target: number;
  readonly role: Role;
  readonly workers: number;
  readonly container: string | null;
  readonly findings: readonly Finding[];
  readonly verdict: Verdict;
}

const CHECKS: readonly Check[] = [
  ...fileChecks,
  ...memoryChecks,
  ...acceptingChecks,
  ...closingChecks,
  ...portChecks,
  ...pathChecks,
  ...notConfigurableChecks,
  ...outdatedAdviceChecks,
];

/** The order of the output: the most urgent findings first. */
const ORDER = ['critical', 'warning', 'info', 'ok', 'skipped'] as const;

/** The number of processes that `serve` would start, at most the number the machine affords. */
function workersFor(machine: Machine, { target, workers }: Aim): number {
  if (workers !== 'auto') return workers;
  const limits = readMachineLimits(machine.read);
  try {
    return planCapacity(limits, workers, target, 1).workers;
  } catch (error) {
    if (!(error instanceof MegacometError)) throw error;
    // The target needs more workers than the machine affords; a check names the limit.
    return workersMax(limits);
  }
}

export function describeSituation(machine: Machine, aim: Aim): Situation {
  const isClient = aim.role === 'client';
  return {
    machine,
    role: aim.role,
    target: aim.target,
    load: {
      connections: isClient ? 0 : aim.target,
      clients: aim.role === 'server' ? 0 : aim.target,
      workers: workersFor(machine, aim),
      acceptRate: aim.acceptRate > 0 ? aim.acceptRate : defaultAcceptRate(aim.target),
      burst: aim.messageBurst,
      messageBytes: aim.messageBytes,
      ...(aim.tls === undefined ? {} : { tls: aim.tls }),
    },
    costs: readCosts(machine),
    memory: readMemory(machine),
    memoryGroups: readMemoryGroups(machine.read),
    limits: readMachineLimits(machine.read),
    ports: aim.ports,
    backlog: aim.backlog,
    keepaliveS: aim.keepaliveS,
    drainS: aim.drainS,
    container: containerSign(machine),
  };
}

function verdictOf({ target }: Situation, findings: readonly Finding[]): Verdict {
  let lowest: Finding | undefined;
  for (const candidate of findings) {
    if (candidate.connections === null) continue;
    if (candidate.connections < (lowest?.connections ?? Infinity)) lowest = candidate;
  }
  const connections = lowest?.connections ?? 0;
  const binding = lowest === undefined ? 'none was found' : `${lowest.id} (${lowest.current})`;
  const isEnough = connections >= target;
  const critical = findings.filter(({ severity }) => severity === 'critical').map(({ id }) => id);
  // Some critical limits lose connections but do not bound their number.
  const others = critical.filter((id) => id !== lowest?.id);
  return {
    connections,
    binding,
    critical,
    isEnough,
    sentence:
      `This machine can hold ${formatCount(connections)} connections today, ` +
      `${isEnough ? 'enough for' : 'fewer than'} the target of ${formatCount(target)}. ` +
      `The limit that binds first: ${binding}` +
      (others.length === 0 ? '.' : `; also critical: ${others.join(', ')}.`),
  };
}

/** Runs all checks, and names the limit that binds first. */
export function diagnose(machine: Machine, aim: Aim): Diagnosis {
  const situation = describeSituation(machine, aim);
  const findings = CHECKS.flatMap((check) => check(situation));
  return {
    target: aim.target,
    role: aim.role,
    workers: situation.load.workers,
    container: situation.container,
    findings: ORDER.flatMap((severity) => findings.filter((found) => found.severity === severity)),
    verdict: verdictOf(situation, findings),
  };
}

/** The part of the aim that a server knows when it starts. */
export type ServerAim = Pick<Aim, 'acceptRate' | 'backlog' | 'keepaliveS' | 'ports' | 'target'> & {
  readonly workers: number;
};

/**
 * The critical findings for a server that starts here: the limits that stop it below its target.
 *
 * It runs no other program and does not search files for outdated settings, because a start must
 * not wait.
 */
export function criticalFindings(aim: ServerAim): readonly Finding[] {
  const machine: Machine = { ...thisMachine, run: () => undefined };
  const situation = describeSituation(machine, {
    ...aim,
    role: 'server',
    messageBurst: 0,
    messageBytes: 0,
    drainS: 0,
  });
  return CHECKS.filter((check) => !outdatedAdviceChecks.includes(check))
    .flatMap((check) => check(situation))
    .filter(({ severity }) => severity === 'critical');
}
