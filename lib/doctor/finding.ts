// The finding of one check of a machine, and the situation that the check reads. Pure: a check reads
// nothing outside its situation.
import type { MachineLimits } from '../capacity/capacity.js';
import {
  readNetCounter,
  sysctl,
  sysctlVector,
  type MetricValue,
  type MemoryGroup,
} from '../system/kernel.js';
import { canWriteSysctls, type Machine, type Memory } from './machine.js';
import type { Costs, Load } from '../capacity/sizing.js';

export type Role = 'both' | 'client' | 'server';

/**
 * - `critical`: the target cannot be reached;
 * - `warning`: connections are lost in bursts, or service degrades;
 * - `info`: worth knowing; nothing is lost;
 * - `ok`: looked at, and enough;
 * - `skipped`: does not exist or does not apply here.
 */
export type Severity = 'critical' | 'info' | 'ok' | 'skipped' | 'warning';

/** Whose setting it is: of the host, of a network namespace, of a process, of the boot line. */
export type Scope = 'boot' | 'cloud' | 'host' | 'namespace' | 'process';

/**
 * The fix of a finding. `doctor --write` and `--apply` set a sysctl or a line of the unit. A sysctl
 * that this container cannot set must be set outside; anything else is done by hand.
 */
export type Fix =
  | { readonly kind: 'sysctl'; readonly key: string; readonly value: string }
  | {
      readonly kind: 'outside';
      readonly key: string;
      readonly value: string;
      readonly text: string;
    }
  | { readonly kind: 'unit'; readonly directive: string; readonly value: string }
  | { readonly kind: 'advice'; readonly text: string };

/** The counter that shows that a limit was hit, and its value now. */
export interface CounterReading {
  readonly name: string;
  readonly value: MetricValue;
}

export interface Finding {
  /** Name of the setting, such as `net.core.somaxconn`. */
  readonly id: string;
  readonly scope: Scope;
  readonly severity: Severity;
  readonly current: string;
  /** Null where nothing is asked for. */
  readonly needed: string | null;
  /** The formula with its inputs filled in. */
  readonly formula: string;
  /** One sentence. */
  readonly why: string;
  readonly counters: readonly CounterReading[];
  /** Connections that this limit allows; null where it does not bound their number. */
  readonly connections: number | null;
  readonly fix: Fix | null;
}

/** A machine, and what it is to carry. */
export interface Situation {
  readonly machine: Machine;
  readonly role: Role;
  readonly target: number;
  readonly load: Load;
  readonly costs: Costs & { readonly isMeasured: boolean };
  readonly memory: Memory;
  readonly memoryGroups: readonly MemoryGroup[];
  readonly limits: MachineLimits;
  /** Ports that the server listens on. */
  readonly ports: readonly number[];
  readonly backlog: number;
  readonly keepaliveS: number;
  readonly drainS: number;
  /** Why this is a container, or null. */
  readonly container: string | null;
}

export type Check = (situation: Situation) => readonly Finding[];

/** A finding without the parts that most have not. */
export function finding(
  parts: Omit<Finding, 'connections' | 'counters' | 'fix'> &
    Partial<Pick<Finding, 'connections' | 'counters' | 'fix'>>,
): Finding {
  return { connections: null, counters: [], fix: null, ...parts };
}

export function skipped(id: string, scope: Scope, why: string): Finding {
  return finding({ id, scope, severity: 'skipped', current: '–', needed: null, formula: '', why });
}

/** Leaves settings out that concern only the other end of a connection. */
export function onlyFor(
  role: 'client' | 'server',
  ids: readonly string[],
  scope: Scope,
  check: Check,
): Check {
  const why =
    role === 'server'
      ? 'only a server accepts connections'
      : 'only who connects needs it: a server accepts all connections on one port';
  return (situation) =>
    situation.role === role || situation.role === 'both'
      ? check(situation)
      : ids.map((id) => skipped(id, scope, why));
}

export function tcpCounter({ machine }: Situation, name: string): CounterReading {
  return { name: `TcpExt ${name}`, value: readNetCounter(machine.read, 'TcpExt', name) };
}

/** A line of /proc/vmstat, of the whole host. */
export function vmCounter({ machine }: Situation, name: string): CounterReading {
  const match = new RegExp(`^${name} (\\d+)$`, 'm').exec(machine.read('/proc/vmstat') ?? '');
  return { name: `vmstat ${name}`, value: match === null ? null : Number(match[1]) };
}

/** 1234567 as `1,234,567`; systemd sets some limits to the largest number there is. */
export function figure(value: number): string {
  return value > Number.MAX_SAFE_INTEGER
    ? 'no limit'
    : value.toLocaleString('en-US', { maximumFractionDigits: 0 });
}

/** Bytes as GiB or MiB, for people. */
export function size(bytes: number): string {
  return bytes >= 2 ** 30
    ? `${(bytes / 2 ** 30).toFixed(1)} GiB`
    : `${Math.round(bytes / 2 ** 20)} MiB`;
}

/** A container that cannot write sysctls: what it needs is set where it is started. */
export function isConfined({ container, machine }: Situation): boolean {
  return container !== null && !canWriteSysctls(machine);
}

/** How a sysctl is raised here, or from outside where a container cannot. */
export function fixFor(
  situation: Situation,
  scope: 'host' | 'namespace',
  key: string,
  value: string,
): Fix {
  if (!isConfined(situation)) return { kind: 'sysctl', key, value };
  const text =
    scope === 'host'
      ? `set ${key} = ${value} on the host: a container cannot`
      : `docker run --sysctl "${key}=${value}", or sysctls of the pod's securityContext`;
  return { kind: 'outside', key, value, text };
}

/** A setting of the service; `outside` says how else in a container, which has no unit. */
export function unitFix(
  situation: Situation,
  directive: string,
  value: string,
  outside: string,
): Fix {
  return isConfined(situation)
    ? { kind: 'advice', text: outside }
    : { kind: 'unit', directive, value };
}

/** A setting that cannot be seen; one of the host is named with what it must be there. */
export function unseen(key: string, scope: 'host' | 'namespace', needed: string): Finding {
  const why =
    scope === 'host'
      ? `a network namespace does not show it: see that it is ${needed} or more on the host`
      : 'this kernel or namespace has no such setting';
  return skipped(key, scope, why);
}

/** A sysctl with one number that must not be lower than a formula says. */
export interface AtLeast {
  readonly key: string;
  readonly scope: 'host' | 'namespace';
  readonly needed: (situation: Situation) => number;
  readonly formula: (situation: Situation) => string;
  readonly below: (current: number, situation: Situation) => 'critical' | 'info' | 'warning';
  readonly why: string;
  readonly counters?: (situation: Situation) => readonly CounterReading[];
  /** Connections that the present value allows. */
  readonly connections?: (current: number, situation: Situation) => number;
}

/** Checks one {@link AtLeast}; a key that this kernel or namespace lacks is skipped. */
export function checkAtLeast(situation: Situation, rule: AtLeast): Finding {
  const current = sysctl(situation.machine.read, rule.key);
  const needed = rule.needed(situation);
  if (current === null) return unseen(rule.key, rule.scope, figure(needed));
  const isEnough = current >= needed;
  return finding({
    id: rule.key,
    scope: rule.scope,
    severity: isEnough ? 'ok' : rule.below(current, situation),
    current: figure(current),
    needed: figure(needed),
    formula: rule.formula(situation),
    why: rule.why,
    counters: rule.counters?.(situation) ?? [],
    connections: rule.connections?.(current, situation) ?? null,
    fix: isEnough ? null : fixFor(situation, rule.scope, rule.key, String(needed)),
  });
}

/** A switch that must have one of some values; where it has not, the first of them is proposed. */
export interface Switch {
  readonly key: string;
  readonly good: readonly number[];
  readonly bad: 'info' | 'warning';
  readonly why: string;
  readonly counters?: (situation: Situation) => readonly CounterReading[];
}

export function checkSwitch(situation: Situation, rule: Switch): Finding {
  const vector = sysctlVector(situation.machine.read, rule.key);
  const current = vector?.[0];
  if (current === undefined) {
    return skipped(rule.key, 'namespace', 'this kernel or namespace has no such setting');
  }
  const isGood = rule.good.includes(current);
  const wanted = String(rule.good[0]);
  return finding({
    id: rule.key,
    scope: 'namespace',
    severity: isGood ? 'ok' : rule.bad,
    current: String(current),
    needed: rule.good.join(' or '),
    formula: `a switch: ${rule.good.join(' or ')}`,
    why: rule.why,
    counters: rule.counters?.(situation) ?? [],
    fix: isGood ? null : fixFor(situation, 'namespace', rule.key, wanted),
  });
}
