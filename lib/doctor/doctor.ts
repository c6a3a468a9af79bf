// The doctor: every check over one machine and one target, and the verdict.
// Pure over an injected machine; commands/doctor.ts prints, fix.ts writes.
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
import { figure, type Check, type Finding, type Role, type Situation } from './finding.js';
import { readMemoryGroups } from '../system/kernel.js';
import { containerSign, readCosts, readMemory, thisMachine, type Machine } from './machine.js';
import { defaultAcceptRate } from '../capacity/sizing.js';

/** What the doctor is asked about. */
export interface Aim {
  readonly target: number;
  readonly role: Role;
  readonly workers: number | 'auto';
  /** New connections per second at the worst time; 0 takes everybody back within a minute. */
  readonly acceptRate: number;
  /** Share of the connections that get a message at the same instant, 0 to 1. */
  readonly messageBurst: number;
  readonly messageBytes: number;
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
  /** Names of the critical findings, also of those that bound no number. */
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

/** The order in which people want to read. */
const ORDER = ['critical', 'warning', 'info', 'ok', 'skipped'] as const;

/** As many processes as the command would start; as many as the machine affords for too many. */
function workersFor(machine: Machine, { target, workers }: Aim): number {
  if (workers !== 'auto') return workers;
  const limits = readMachineLimits(machine.read);
  try {
    return planCapacity(limits, workers, target, 1).workers;
  } catch (error) {
    if (!(error instanceof MegacometError)) throw error;
    // The checks name the limit that makes it too many.
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

function judge({ target }: Situation, findings: readonly Finding[]): Verdict {
  let lowest: Finding | undefined;
  for (const candidate of findings) {
    if (candidate.connections === null) continue;
    if (candidate.connections < (lowest?.connections ?? Infinity)) lowest = candidate;
  }
  const connections = lowest?.connections ?? 0;
  const binding =
    lowest === undefined ? 'nothing that was found' : `${lowest.id} (${lowest.current})`;
  const isEnough = connections >= target;
  const critical = findings.filter(({ severity }) => severity === 'critical').map(({ id }) => id);
  // Some limits lose connections without a number that they bound.
  const others = critical.filter((id) => id !== lowest?.id);
  return {
    connections,
    binding,
    critical,
    isEnough,
    sentence:
      `This machine can hold ${figure(connections)} connections today, ` +
      `${isEnough ? 'enough for' : 'not'} ${figure(target)}; ` +
      `the limit that binds first: ${binding}` +
      (others.length === 0 ? '.' : `; critical too: ${others.join(', ')}.`),
  };
}

/** Looks at everything, and names the limit that binds first. */
export function diagnose(machine: Machine, aim: Aim): Diagnosis {
  const situation = describeSituation(machine, aim);
  const findings = CHECKS.flatMap((check) => check(situation));
  return {
    target: aim.target,
    role: aim.role,
    workers: situation.load.workers,
    container: situation.container,
    findings: ORDER.flatMap((severity) => findings.filter((found) => found.severity === severity)),
    verdict: judge(situation, findings),
  };
}

/** What a server knows of itself when it starts. */
export type ServerAim = Pick<Aim, 'acceptRate' | 'backlog' | 'keepaliveS' | 'ports' | 'target'> & {
  readonly workers: number;
};

/**
 * The critical findings for a server that starts here: what will stop it below its target.
 *
 * Asks no other program and looks for no bad lines: a start must not wait.
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
