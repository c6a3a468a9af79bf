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
 * - `info`: worth knowing, but no connection is lost;
 * - `ok`: the check found that the value is enough;
 * - `skipped`: the setting does not exist or does not apply here.
 */
export type Severity = 'critical' | 'info' | 'ok' | 'skipped' | 'warning';

/** Where the setting belongs: the boot line, the cloud, the host, a network namespace, a process. */
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
  /** Null if the check asks for no value. */
  readonly needed: string | null;
  /** The formula with its inputs filled in. */
  readonly formula: string;
  /** One sentence. */
  readonly why: string;
  readonly counters: readonly CounterReading[];
  /** Connections that this limit allows; null if it does not bound their number. */
  readonly connections: number | null;
  readonly fix: Fix | null;
}

/** A machine, and the load that it shall carry. */
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

/** Makes a finding; the parts that most findings lack are optional. */
export function finding(
  parts: Omit<Finding, 'connections' | 'counters' | 'fix'> &
    Partial<Pick<Finding, 'connections' | 'counters' | 'fix'>>,
): Finding {
  return { connections: null, counters: [], fix: null, ...parts };
}

export function skipped(id: string, scope: Scope, why: string): Finding {
  return finding({ id, scope, severity: 'skipped', current: '–', needed: null, formula: '', why });
}

/** Wraps a check so that it is skipped for the role of the other end of a connection. */
export function onlyFor(
  role: 'client' | 'server',
  ids: readonly string[],
  scope: Scope,
  check: Check,
): Check {
  const why =
    role === 'server'
      ? 'only a server accepts connections'
      : 'only a client needs it: a server accepts all connections on one port';
  return (situation) =>
    situation.role === role || situation.role === 'both'
      ? check(situation)
      : ids.map((id) => skipped(id, scope, why));
}

export function tcpCounter({ machine }: Situation, name: string): CounterReading {
  return { name: `TcpExt ${name}`, value: readNetCounter(machine.read, 'TcpExt', name) };
}

/** A counter of /proc/vmstat, which counts for the whole host. */
export function vmCounter({ machine }: Situation, name: string): CounterReading {
  const match = new RegExp(`^${name} (\\d+)$`, 'm').exec(machine.read('/proc/vmstat') ?? '');
  return { name: `vmstat ${name}`, value: match === null ? null : Number(match[1]) };
}

/** 1234567 as `1,234,567`. systemd sets some limits to 2^63 − 1, which means "no limit". */
export function formatCount(value: number): string {
  // Not toLocaleString: each call makes a formatter, and the first one loads ICU during the start.
  return value > Number.MAX_SAFE_INTEGER
    ? 'no limit'
    : String(Math.round(value)).replace(/\B(?=(?:\d{3})+$)/g, ',');
}

/** Bytes as GiB or MiB, for people. */
export function size(bytes: number): string {
  return bytes >= 2 ** 30
    ? `${(bytes / 2 ** 30).toFixed(1)} GiB`
    : `${Math.round(bytes / 2 ** 20)} MiB`;
}

/** Whether this is a container that cannot write sysctls: the host or the runtime must set them. */
export function isConfined({ container, machine }: Situation): boolean {
  return container !== null && !canWriteSysctls(machine);
}

/** The fix that sets a sysctl: here, or outside of a container that cannot set it. */
export function fixFor(
  situation: Situation,
  scope: 'host' | 'namespace',
  key: string,
  value: string,
): Fix {
  if (!isConfined(situation)) return { kind: 'sysctl', key, value };
  const text =
    scope === 'host'
      ? `set ${key} = ${value} on the host; a container cannot set it`
      : `docker run --sysctl "${key}=${value}", or sysctls in the pod's securityContext`;
  return { kind: 'outside', key, value, text };
}

/** The fix that sets a directive of the unit; a container has no unit and gets `outside` instead. */
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

/** The finding for a setting that is hidden here. For the host it names the value needed there. */
export function hiddenSetting(key: string, scope: 'host' | 'namespace', needed: string): Finding {
  const why =
    scope === 'host'
      ? `a network namespace hides it: check that it is ${needed} or more on the host`
      : 'this kernel or namespace has no such setting';
  return skipped(key, scope, why);
}

/** The rule for a sysctl whose one number must be at least the result of a formula. */
export interface AtLeast {
  readonly key: string;
  readonly scope: 'host' | 'namespace';
  readonly needed: (situation: Situation) => number;
  readonly formula: (situation: Situation) => string;
  readonly below: (current: number, situation: Situation) => 'critical' | 'info' | 'warning';
  readonly why: string;
  readonly counters?: (situation: Situation) => readonly CounterReading[];
  /** Connections that the current value allows. */
  readonly connections?: (current: number, situation: Situation) => number;
}

/** Checks one {@link AtLeast}; skips a key that this kernel or namespace lacks. */
export function checkAtLeast(situation: Situation, rule: AtLeast): Finding {
  const current = sysctl(situation.machine.read, rule.key);
  const needed = rule.needed(situation);
  if (current === null) return hiddenSetting(rule.key, rule.scope, formatCount(needed));
  const isEnough = current >= needed;
  return finding({
    id: rule.key,
    scope: rule.scope,
    severity: isEnough ? 'ok' : rule.below(current, situation),
    current: formatCount(current),
    needed: formatCount(needed),
    formula: rule.formula(situation),
    why: rule.why,
    counters: rule.counters?.(situation) ?? [],
    connections: rule.connections?.(current, situation) ?? null,
    fix: isEnough ? null : fixFor(situation, rule.scope, rule.key, String(needed)),
  });
}

/** The rule for a switch with some good values; the fix for another value is the first good one. */
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
