// `megacomet-ts doctor`: prints the capacity of this machine, the limits that bind, and the fixes.
import { readSettings, type Settings } from '../../options/config.js';
import { portsOf } from '../../options/options.js';
import { diagnose, type Aim, type Diagnosis } from '../../doctor/doctor.js';
import { MegacometError } from '../../base/errors.js';
import { DRAIN_S } from '../../base/stop-times.js';
import type { Finding, Role, Severity } from '../../doctor/finding.js';
import { thisMachine } from '../../doctor/machine.js';
import { applySysctls, writeFiles, type Applied } from '../../doctor/fix.js';
import type { Output } from '../output.js';

/** The exit code if the machine cannot hold the target or a finding is critical: for scripts. */
const EXIT_NOT_ENOUGH = 3;
/** The exit code if the kernel rejected a value of --apply. */
const EXIT_REJECTED = 4;
/** Assumed bytes of one message: a small JSON notification. */
const MESSAGE_BYTES = 200;

const LABELS: Readonly<Record<Severity, string>> = {
  critical: 'CRITICAL',
  warning: 'WARNING ',
  info: 'info    ',
  ok: 'ok      ',
  skipped: 'skipped ',
};

export function aimOf(settings: Settings): Aim {
  return {
    target: settings['target'] as number,
    role: settings['role'] as Role,
    workers: settings['workers'] as number | 'auto',
    acceptRate: settings['acceptRate'] as number,
    messageBurst: settings['messageBurst'] as number,
    messageBytes: MESSAGE_BYTES,
    ports: portsOf(settings['port'] as number | string),
    backlog: settings['backlog'] as number,
    keepaliveS: settings['keepalive'] as number,
    drainS: DRAIN_S,
  };
}

function counterText({ counters }: Finding): string[] {
  if (counters.length === 0) return [];
  const parts = counters.map(({ name, value }) => (value === null ? name : `${name} ${value}`));
  return [`counter  ${parts.join('; ')}`];
}

function fixText({ fix }: Finding): string[] {
  switch (fix?.kind) {
    case 'sysctl':
      return [`fix      ${fix.key} = ${fix.value}`];
    case 'unit':
      return [`fix      ${fix.directive}=${fix.value} in the unit`];
    case 'advice':
    case 'outside':
      return [`fix      ${fix.text}`];
    case undefined:
      return [];
  }
}

/** One finding in full. */
function formatFinding(finding: Finding): string {
  const needed = finding.needed === null ? '' : `, needed ${finding.needed}`;
  const lines = [
    finding.why.trim(),
    ...(finding.formula === '' ? [] : [`formula  ${finding.formula}`]),
    ...counterText(finding),
    ...(finding.connections === null ? [] : [`allows   ${finding.connections} connections`]),
    ...fixText(finding),
  ];
  const head = `${LABELS[finding.severity]} ${finding.id}: ${finding.current}${needed}`;
  return [head, ...lines.map((line) => `           ${line}`)].join('\n');
}

/** The diagnosis as text: each problem in full, and the names of the other settings. */
export function formatDiagnosis(diagnosis: Diagnosis): string {
  const { findings } = diagnosis;
  const isLoud = ({ severity }: Finding): boolean => severity !== 'ok' && severity !== 'skipped';
  const named = (severity: Severity): string =>
    findings
      .filter((finding) => finding.severity === severity)
      .map(({ id }) => id)
      .join(', ');
  const skippedLines = findings
    .filter(({ severity }) => severity === 'skipped')
    .map(({ id, why }) => `           ${id}: ${why}`);
  return [
    `megacomet-ts doctor: ${diagnosis.target} connections, role ${diagnosis.role}, ` +
      `${diagnosis.workers} workers` +
      (diagnosis.container === null ? '' : `; in a container (${diagnosis.container})`),
    '',
    ...findings.filter(isLoud).map(formatFinding),
    `${LABELS.ok} ${named('ok')}`,
    ...(skippedLines.length === 0 ? [] : ['skipped:', ...skippedLines]),
    '',
    diagnosis.verdict.sentence,
  ].join('\n');
}

function formatApplied({ key, wanted, found, error }: Applied): string {
  return error === null
    ? `applied  ${key} = ${found}`
    : `REJECTED ${key} = ${wanted}: ${error}; it is ${found}`;
}

function checkMayApply(): void {
  if (process.getuid?.() === 0) return;
  throw new MegacometError('ERR_USER', '--apply: only root can set sysctls');
}

/** Runs the command; resolves to the exit code. */
export async function doctor(flags: Record<string, unknown>, output: Output): Promise<number> {
  const settings = readSettings('doctor', { flags, env: process.env });
  const applies = settings['apply'] === true;
  if (applies) checkMayApply();
  const aim = aimOf(settings);
  let diagnosis = diagnose(thisMachine, aim);
  // Write files first: after a value is applied, the diagnosis no longer asks for it.
  const folder = settings['write'] as string | undefined;
  const written = folder === undefined ? [] : writeFiles(diagnosis, folder, thisMachine.read);
  const applied = applies ? applySysctls(diagnosis, thisMachine.read) : [];
  if (applies) diagnosis = diagnose(thisMachine, aim);
  if (settings['json'] === true) {
    await output.print(JSON.stringify({ ...diagnosis, written, applied }, null, 2));
  } else {
    await output.print(formatDiagnosis(diagnosis));
    for (const { file, isChanged } of written) {
      await output.print(`${isChanged ? 'written  ' : 'unchanged'} ${file}`);
    }
    for (const line of applied) await output.print(formatApplied(line));
    if (folder === undefined && applied.some(({ error }) => error === null)) {
      await output.print(
        'Applied values last until the next boot; --write DIR writes a file for /etc/sysctl.d.',
      );
    }
  }
  if (applied.some(({ error }) => error !== null)) return EXIT_REJECTED;
  const { isEnough, critical } = diagnosis.verdict;
  return isEnough && critical.length === 0 ? 0 : EXIT_NOT_ENOUGH;
}
