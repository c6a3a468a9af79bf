// `megacomet-ts doctor`: the capacity of this machine, the limits in the way, and their fixes.
import { readSettings, type Settings } from '../../options/config.js';
import { diagnose, type Aim, type Diagnosis } from '../../doctor/doctor.js';
import { MegacometError } from '../../base/errors.js';
import type { Finding, Role, Severity } from '../../doctor/finding.js';
import { thisMachine } from '../../doctor/machine.js';
import { applySysctls, writeFiles, type Applied } from '../../doctor/fix.js';

/** The exit code when the machine cannot hold the target, or something is critical: for scripts. */
const EXIT_NOT_ENOUGH = 3;
/** The exit code when --apply was refused something. */
const EXIT_REFUSED = 4;
/** Bytes of one message where nothing else is said: a small JSON notification. */
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
    ports: [settings['port'] as number],
    backlog: settings['backlog'] as number,
    keepaliveS: settings['keepalive'] as number,
    drainS: 10,
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

/** The whole diagnosis for people: what is wrong in full, the rest by name. */
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
    ...(skippedLines.length === 0 ? [] : ['not here:', ...skippedLines]),
    '',
    diagnosis.verdict.sentence,
  ].join('\n');
}

function formatApplied({ key, wanted, found, refusal }: Applied): string {
  return refusal === null
    ? `applied  ${key} = ${found}`
    : `REFUSED  ${key} = ${wanted}: ${refusal}; it is ${found}`;
}

function checkMayApply(): void {
  if (process.getuid?.() === 0) return;
  throw new MegacometError('ERR_USER', '--apply: only root can set sysctls');
}

/** Runs the command; resolves to the exit code. */
export function doctor(
  flags: Record<string, unknown>,
  print: (text: string) => void,
): Promise<number> {
  const settings = readSettings('doctor', { flags, env: process.env });
  const applies = settings['apply'] === true;
  if (applies) checkMayApply();
  const aim = aimOf(settings);
  let diagnosis = diagnose(thisMachine, aim);
  // Files first: once a value is applied the machine no longer shows that it needs it.
  const folder = settings['write'] as string | undefined;
  const written = folder === undefined ? [] : writeFiles(diagnosis, folder, thisMachine.read);
  const applied = applies ? applySysctls(diagnosis, thisMachine.read) : [];
  if (applies) diagnosis = diagnose(thisMachine, aim);
  if (settings['json'] === true) {
    print(JSON.stringify({ ...diagnosis, written, applied }, null, 2));
  } else {
    print(formatDiagnosis(diagnosis));
    for (const { file, isChanged } of written) {
      print(`${isChanged ? 'written  ' : 'unchanged'} ${file}`);
    }
    for (const line of applied) print(formatApplied(line));
    if (folder === undefined && applied.some(({ refusal }) => refusal === null)) {
      print('until the next boot; --write DIR gives the file that keeps it, for /etc/sysctl.d');
    }
  }
  if (applied.some(({ refusal }) => refusal !== null)) return Promise.resolve(EXIT_REFUSED);
  const { isEnough, critical } = diagnosis.verdict;
  return Promise.resolve(isEnough && critical.length === 0 ? 0 : EXIT_NOT_ENOUGH);
}
