// Fixes of the doctor's findings: the two files of --write, and the sysctls of --apply. Values are
// only raised, files are written whole or not at all, and the same findings give the same bytes.
import { writeFileSync } from 'node:fs';
import path from 'node:path';

import type { Diagnosis } from './doctor.js';
import type { Finding, Fix } from './finding.js';
import { sysctlVector, type Reader } from '../system/kernel.js';
import { writeWhole } from '../base/atomic-write.js';

type SysctlFix = Extract<Fix, { kind: 'sysctl' }>;
/** Also what cannot be set from here: --apply tries, and reports the refusal. */
type KernelFix = Extract<Fix, { kind: 'outside' | 'sysctl' }>;
type UnitFix = Extract<Fix, { kind: 'unit' }>;

interface PlannedFix<Kind extends Fix> {
  readonly finding: Finding;
  readonly fix: Kind;
}

/**
 * Order in which sysctls are set: a ceiling before what it bounds, and the server's own ports
 * reserved before the range reaches them.
 */
const FIRST = ['fs.nr_open', 'net.ipv4.ip_local_reserved_ports'];

const rankOf = (key: string): number => (FIRST.includes(key) ? FIRST.indexOf(key) : FIRST.length);

function inOrder<Kind extends KernelFix>(planned: PlannedFix<Kind>[]): PlannedFix<Kind>[] {
  return planned.sort(
    ({ fix: a }, { fix: b }) => rankOf(a.key) - rankOf(b.key) || a.key.localeCompare(b.key),
  );
}

function sysctlFixes({ findings }: Diagnosis): PlannedFix<SysctlFix>[] {
  return inOrder(
    findings.flatMap((finding) =>
      finding.fix?.kind === 'sysctl' ? [{ finding, fix: finding.fix }] : [],
    ),
  );
}

function kernelFixes({ findings }: Diagnosis): PlannedFix<KernelFix>[] {
  return inOrder(
    findings.flatMap((finding) =>
      finding.fix?.kind === 'sysctl' || finding.fix?.kind === 'outside'
        ? [{ finding, fix: finding.fix }]
        : [],
    ),
  );
}

function unitFixes({ findings }: Diagnosis): PlannedFix<UnitFix>[] {
  return findings.flatMap((finding) =>
    finding.fix?.kind === 'unit' ? [{ finding, fix: finding.fix }] : [],
  );
}

/** A comment of at most 100 columns a line. */
function comment(text: string): string {
  const lines: string[] = [];
  let line = '#';
  for (const word of text.split(/\s+/)) {
    if (line.length + word.length + 1 > 100) {
      lines.push(line);
      line = '#';
    }
    line += ` ${word}`;
  }
  return [...lines, line].join('\n');
}

function because({ finding }: PlannedFix<Fix>): string {
  const formula = finding.formula === '' ? '' : ` Needed: ${finding.formula}.`;
  return comment(`${finding.why} It was ${finding.current}.${formula}`);
}

const head = ({ target, role, workers }: Diagnosis): string =>
  comment(
    `Written by megacomet-ts for ${target} connections (${role}, ${workers} workers); only lines ` +
      'that are needed.',
  );

/** One setting with the comment above it. */
interface Block {
  /** The line that sets it, such as `net.core.somaxconn = 8192`. */
  readonly line: string;
  readonly text: string;
}

/** By the name that each sets. */
type Blocks = Map<string, Block>;

const ASSIGNMENT = /^-?(?:Environment=)?([\w.-]+)\s*=\s*(.*)$/;

/** The blocks of an earlier --write: a fix that was applied then must survive the next boot. */
function blocksOf(text: string | undefined): Blocks {
  const blocks: Blocks = new Map();
  for (const block of (text ?? '').split(/\n{2,}/)) {
    const line = block.split('\n').find((candidate) => ASSIGNMENT.test(candidate));
    const name = ASSIGNMENT.exec(line ?? '')?.[1];
    if (line !== undefined && name !== undefined) {
      blocks.set(name, { line, text: `${block.trim()}\n` });
    }
  }
  return blocks;
}

/** Sets a line, unless it stands there already: then its reason stays the one of that day. */
function setLine(blocks: Blocks, name: string, line: string, planned: PlannedFix<Fix>): void {
  if (blocks.get(name)?.line === line) return;
  blocks.set(name, { line, text: `${because(planned)}\n${line}\n` });
}

/** A line of before that would lower what runs now; a list of ports is neither high nor low. */
function isLower(read: Reader, name: string, { line }: Block): boolean {
  if (name.includes('port')) return false;
  const current = sysctlVector(read, name) ?? [];
  const values = (ASSIGNMENT.exec(line)?.[2] ?? '').split(/\s+/).map(Number);
  return values.some((value, index) => value < (current[index] ?? -Infinity));
}

const textsOf = (blocks: Blocks): string[] => [...blocks.values()].map(({ text }) => text);

/** Nothing that an earlier run left. */
const NOTHING: Reader = () => undefined;

/**
 * sysctl.d(5); a key that a module brings later must not fail the boot, hence its dash.
 *
 * @param before - What the file held.
 * @param read - The machine that runs with it.
 */
export function sysctlFile(
  diagnosis: Diagnosis,
  before?: string,
  read: Reader = NOTHING,
): string | null {
  const blocks = blocksOf(before);
  for (const [name, block] of blocks) if (isLower(read, name, block)) blocks.delete(name);
  for (const planned of sysctlFixes(diagnosis)) {
    const { key, value } = planned.fix;
    const dash = key.startsWith('net.netfilter.') ? '-' : '';
    setLine(blocks, key, `${dash}${key} = ${value}`, planned);
  }
  return blocks.size === 0 ? null : [`${head(diagnosis)}\n`, ...textsOf(blocks)].join('\n');
}

/** A drop-in for megacomet.service. */
export function dropInFile(diagnosis: Diagnosis, before?: string): string | null {
  const blocks = blocksOf(before);
  for (const planned of unitFixes(diagnosis)) {
    const { directive, value } = planned.fix;
    // The lines of the environment share one directive: the variable that they set distinguishes them.
    const name = directive === 'Environment' ? (value.split('=')[0] ?? '') : directive;
    setLine(blocks, name, `${directive}=${value}`, planned);
  }
  return blocks.size === 0
    ? null
    : [`${head(diagnosis)}\n\n[Service]\n`, ...textsOf(blocks)].join('\n');
}

/** The files of --write, below the folder that the user names. */
export const SYSCTL_NAME = '90-megacomet.conf';
export const DROP_IN_NAME = 'megacomet.service.d/90-megacomet.conf';

/** What became of one sysctl. */
export interface Applied {
  readonly key: string;
  readonly wanted: string;
  /** What the kernel says afterwards. */
  readonly found: string;
  /** Null where it holds now; else the reason, such as EROFS, or that the kernel kept its value. */
  readonly refusal: string | null;
}

const spaced = (text: string | undefined): string => (text ?? '').trim().replace(/\s+/g, ' ');

/** Ports are read back in order, and neighbours as a range. */
function portList(text: string): string {
  const ports = text.split(',').flatMap((part) => {
    const [first = 0, last = first] = part.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
  return [...new Set(ports)].sort((a, b) => a - b).join();
}

/** Whether the kernel has what was wanted, however it writes that; some values it rounds up. */
function holds({ key, value }: KernelFix, found: string): boolean {
  if (key === 'net.ipv4.ip_local_reserved_ports') return portList(found) === portList(value);
  if (key === 'net.netfilter.nf_conntrack_buckets') return Number(found) >= Number(value);
  return found === spaced(value);
}

function applyOne(read: Reader, { fix }: PlannedFix<KernelFix>): Applied {
  const file = `/proc/sys/${fix.key.replaceAll('.', '/')}`;
  let refusal: string | null = null;
  try {
    // One write for all numbers of a vector: the kernel takes them together or not at all.
    writeFileSync(file, fix.value);
  } catch (error) {
    refusal = (error as NodeJS.ErrnoException).code ?? 'unknown';
  }
  const found = spaced(read(file));
  if (refusal === null && !holds(fix, found)) refusal = `the kernel kept ${found}`;
  return { key: fix.key, wanted: fix.value, found, refusal };
}

/** Writes the sysctls now and reads each back. A refusal of one does not keep the others. */
export function applySysctls(diagnosis: Diagnosis, read: Reader): readonly Applied[] {
  return kernelFixes(diagnosis).map((planned) => applyOne(read, planned));
}

/**
 * Writes both files below `folder`; one with nothing to say is not made.
 *
 * @param read - The machine itself, where lines of an earlier run are to be kept.
 * @throws MegacometError `ERR_WRITE`.
 */
export function writeFiles(
  diagnosis: Diagnosis,
  folder: string,
  read: Reader = NOTHING,
): readonly { readonly file: string; readonly isChanged: boolean }[] {
  const before = (name: string): string | undefined => read(path.join(folder, name));
  const files = [
    { name: SYSCTL_NAME, text: sysctlFile(diagnosis, before(SYSCTL_NAME), read) },
    { name: DROP_IN_NAME, text: dropInFile(diagnosis, before(DROP_IN_NAME)) },
  ].flatMap(({ name, text }) => (text === null ? [] : [{ name, text }]));
  const isChanged = writeWhole(folder, files);
  return files.map(({ name }, index) => ({
    file: path.join(folder, name),
    isChanged: isChanged[index] ?? false,
  }));
}
