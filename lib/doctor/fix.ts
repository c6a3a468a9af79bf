// Fixes of the doctor's findings: --write writes two files, --apply sets sysctls. Values are only
// raised, a file is written completely or not at all, and the same findings give the same bytes.
import { writeFileSync } from 'node:fs';
import path from 'node:path';

import type { Diagnosis } from './doctor.js';
import type { Finding, Fix } from './finding.js';
import { sysctlVector, type Reader } from '../system/kernel.js';
import { writeWhole } from '../base/atomic-write.js';

type SysctlFix = Extract<Fix, { kind: 'sysctl' }>;
/** Includes fixes that a container cannot set: --apply tries them and reports the kernel's error. */
type KernelFix = Extract<Fix, { kind: 'outside' | 'sysctl' }>;
type UnitFix = Extract<Fix, { kind: 'unit' }>;

interface PlannedFix<Kind extends Fix> {
  readonly finding: Finding;
  readonly fix: Kind;
}

/**
 * These sysctls are set first: fs.nr_open is the ceiling of other limits, and the server's own
 * ports must be reserved before the port range is widened over them.
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

/** Wraps a text into comment lines of at most 100 columns. */
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
  const { why, current, needed, formula } = finding;
  const value = needed === null ? '' : ` Needed: ${needed}.`;
  return comment(
    `${why} It was ${current}.${value}${formula === '' ? '' : ` Formula: ${formula}.`}`,
  );
}

const head = ({ target, role, workers }: Diagnosis): string =>
  comment(
    `Written by megacomet-ts for ${target} connections (${role}, ${workers} workers). It has only ` +
      'the lines that this machine needs.',
  );

/** One setting with the comment above it. */
interface Block {
  /** The line that sets it, such as `net.core.somaxconn = 8192`. */
  readonly line: string;
  readonly text: string;
}

/** Blocks by the name of the setting. */
type Blocks = Map<string, Block>;

const ASSIGNMENT = /^-?(?:Environment=)?([\w.-]+)\s*=\s*(.*)$/;

/** The blocks of an earlier --write: the fixes that it made must survive the next boot. */
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

/** Sets a line. An equal line of an earlier run stays, with the reason that it had then. */
function setLine(blocks: Blocks, name: string, line: string, planned: PlannedFix<Fix>): void {
  if (blocks.get(name)?.line === line) return;
  blocks.set(name, { line, text: `${because(planned)}\n${line}\n` });
}

/** Whether an earlier line would lower the running value. Lists of ports have no order. */
function isLower(read: Reader, name: string, { line }: Block): boolean {
  if (name.includes('port')) return false;
  const current = sysctlVector(read, name) ?? [];
  const values = (ASSIGNMENT.exec(line)?.[2] ?? '').split(/\s+/).map(Number);
  return values.some((value, index) => value < (current[index] ?? -Infinity));
}

const textsOf = (blocks: Blocks): string[] => [...blocks.values()].map(({ text }) => text);

/** A reader without any file of an earlier run. */
const NOTHING: Reader = () => undefined;

/**
 * The text of the file for sysctl.d(5). A key that exists only once a module is loaded gets a dash,
 * so that its absence does not fail the boot.
 *
 * @param before - The text that the file has now.
 * @param read - Reads files of the machine that the text is for.
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

/** The text of a drop-in for megacomet.service. */
export function dropInFile(diagnosis: Diagnosis, before?: string): string | null {
  const blocks = blocksOf(before);
  for (const planned of unitFixes(diagnosis)) {
    const { directive, value } = planned.fix;
    // All Environment= lines have the same directive, so the variable is their name.
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

/** The result of setting one sysctl. */
export interface Applied {
  readonly key: string;
  readonly wanted: string;
  /** The value that the kernel shows afterwards. */
  readonly found: string;
  /** Null if the value is set; else the reason, such as EROFS, or that the kernel kept its value. */
  readonly error: string | null;
}

const spaced = (text: string | undefined): string => (text ?? '').trim().replace(/\s+/g, ' ');

/** A list of ports in one form: the kernel sorts them and joins neighbours to a range. */
function portList(text: string): string {
  const ports = text.split(',').flatMap((part) => {
    const [first = 0, last = first] = part.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
  return [...new Set(ports)].sort((a, b) => a - b).join();
}

/** Whether the kernel has the wanted value. It may print it differently, and rounds some up. */
function holds({ key, value }: KernelFix, found: string): boolean {
  if (key === 'net.ipv4.ip_local_reserved_ports') return portList(found) === portList(value);
  if (key === 'net.netfilter.nf_conntrack_buckets') return Number(found) >= Number(value);
  return found === spaced(value);
}

function applyOne(read: Reader, { fix }: PlannedFix<KernelFix>): Applied {
  const file = `/proc/sys/${fix.key.replaceAll('.', '/')}`;
  let error: string | null = null;
  try {
    // One write for all numbers of a vector: the kernel sets all of them or none.
    writeFileSync(file, fix.value);
  } catch (thrown) {
    error = (thrown as NodeJS.ErrnoException).code ?? 'unknown';
  }
  const found = spaced(read(file));
  if (error === null && !holds(fix, found)) error = `the kernel kept ${found}`;
  return { key: fix.key, wanted: fix.value, found, error };
}

/** Writes each sysctl and reads it back. If the kernel rejects one, the others are still set. */
export function applySysctls(diagnosis: Diagnosis, read: Reader): readonly Applied[] {
  return kernelFixes(diagnosis).map((planned) => applyOne(read, planned));
}

/**
 * Writes both files below `folder`; a file without any setting is not created.
 *
 * @param read - Reads files of this machine, so that lines of an earlier run are kept.
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
