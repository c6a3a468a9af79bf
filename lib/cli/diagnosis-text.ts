// The text of a diagnosis: the verdict first, then each problem in full, in lines that fit the output.
import type { Diagnosis } from '../doctor/doctor.js';
import { formatCount, type Finding, type Severity } from '../doctor/finding.js';

const LABELS: Readonly<Record<Severity, string>> = {
  critical: 'CRITICAL',
  warning: 'WARNING',
  info: 'info',
  ok: 'ok',
  skipped: 'skipped',
};

/** Columns of a label and the blanks behind it. */
const LABEL_COLUMNS = 9;
const MARGIN = ' '.repeat(LABEL_COLUMNS);
const label = (name: string): string => name.padEnd(LABEL_COLUMNS);

export interface DiagnosisForm {
  /** Columns that a line may have, unless one word is longer. */
  readonly columns: number;
  /** Whether to list the settings that are enough, and those that do not apply. */
  readonly isVerbose: boolean;
}

/** Breaks a text into lines between words. The first line begins with a label, others with blanks. */
export function wrap(label: string, text: string, columns: number): string {
  const margin = ' '.repeat(label.length);
  const lines: string[] = [];
  let line = label;
  let isEmpty = true;
  // A percent sign stays with its number.
  for (const word of text.split(/ (?!%)/)) {
    if (!isEmpty && line.length + 1 + word.length > columns) {
      lines.push(line);
      line = margin + word;
    } else {
      line += isEmpty ? word : ` ${word}`;
    }
    isEmpty = false;
  }
  return [...lines, line].join('\n');
}

/** Groups the digits of numbers from 10,000 on; ports and parts of names, paths and fractions stay. */
export function groupDigits(text: string, id: string): string {
  if (/port/.test(id)) return text;
  return text.replace(/(?<![\w./,:=-])\d{5,}(?![\w/=-]|\.\d)/g, (digits) =>
    formatCount(Number(digits)),
  );
}

type Detail = readonly [name: string, text: string];

function counterText({ id, counters }: Finding): Detail[] {
  if (counters.length === 0) return [];
  const parts = counters.map(({ name, value }) => (value === null ? name : `${name} ${value}`));
  return [['counter', groupDigits(parts.join('; '), id)]];
}

/** The fix, with its value as it is written into a file or a command. */
function fixText({ fix }: Finding): Detail[] {
  switch (fix?.kind) {
    case 'sysctl':
      return [['fix', `${fix.key} = ${fix.value}`]];
    case 'unit':
      return [['fix', `${fix.directive}=${fix.value} in the unit`]];
    case 'advice':
    case 'outside':
      return [['fix', fix.text]];
    case undefined:
      return [];
  }
}

/** One finding in full. */
function formatFinding(finding: Finding, columns: number): string {
  const { severity, id, current, needed, formula, why, connections } = finding;
  const suffix = needed === null ? '' : `, needed ${groupDigits(needed, id)}`;
  const allows = connections === null ? '' : `${formatCount(connections)} connections`;
  const details: Detail[] = [
    ['formula', groupDigits(formula, id)],
    ...counterText(finding),
    ['allows', allows],
    ...fixText(finding),
  ];
  const head = `${id}: ${groupDigits(current, id)}${suffix}`;
  return [
    wrap(label(LABELS[severity]), head, columns),
    wrap(MARGIN, why.trim(), columns),
    ...details
      .filter(([, text]) => text !== '')
      .map(([name, text]) => wrap(MARGIN + label(name), text, columns)),
  ].join('\n');
}

/** The settings that need no change, as a count or in full. */
function formatRest(findings: readonly Finding[], { columns, isVerbose }: DiagnosisForm): string {
  const ok = findings.filter(({ severity }) => severity === 'ok');
  const skipped = findings.filter(({ severity }) => severity === 'skipped');
  if (!isVerbose) {
    const counts = `${ok.length} settings are enough, and ${skipped.length} do not apply here`;
    return wrap('', `${counts}: --verbose lists them.`, columns);
  }
  const names = ok.map(({ id }) => id).join(', ');
  const reasons = skipped.map(({ id, why }) =>
    wrap(label(LABELS.skipped), `${id}: ${why}`, columns),
  );
  return [wrap(label(LABELS.ok), names, columns), ...reasons].join('\n');
}

/** The diagnosis as text. */
export function formatDiagnosis(diagnosis: Diagnosis, form: DiagnosisForm): string {
  const { findings, target, role, workers, container, verdict } = diagnosis;
  const isLoud = ({ severity }: Finding): boolean => severity !== 'ok' && severity !== 'skipped';
  const head =
    `megacomet-ts doctor: ${formatCount(target)} connections, role ${role}, ` +
    `${workers} ${workers === 1 ? 'worker' : 'workers'}` +
    (container === null ? '' : `; in a container (${container})`);
  return [
    wrap('', head, form.columns),
    '',
    wrap('', verdict.sentence, form.columns),
    '',
    ...findings.filter(isLoud).map((finding) => formatFinding(finding, form.columns)),
    formatRest(findings, form),
  ].join('\n');
}
