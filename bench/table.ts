// The tables of the comparison: medians, number formats, and the file of a run.
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, release, totalmem } from 'node:os';
import path from 'node:path';

import { packageRoot, packageVersion } from '../lib/system/native.js';

/** The result of one suite: its rows and the raw trials. */
export interface SuiteResult {
  readonly suite: string;
  readonly title: string;
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
  readonly trials: readonly unknown[];
  /** Remarks below the table. */
  readonly notes?: readonly string[];
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2;
}

export function formatNumber(value: number, digits: number): string {
  return Number.isFinite(value)
    ? value.toLocaleString('en-US', {
        minimumFractionDigits: digits,
        maximumFractionDigits: digits,
      })
    : '–';
}

export function ratio(value: number, base: number): string {
  return formatNumber(value / base, 2);
}

function toMarkdown({ title, header, rows, notes = [] }: SuiteResult): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const rule = line(header.map((_, index) => (index === 0 ? '---' : '---:')));
  return [
    `**${title}**`,
    '',
    line(header),
    rule,
    ...rows.map(line),
    '',
    ...notes.flatMap((note) => [note, '']),
  ].join('\n');
}

/** One run of the comparison, as committed in bench/results/ and shown in docs/benchmarks.md. */
export interface ResultFile {
  readonly date: string;
  readonly machine: string;
  readonly kernel: string;
  readonly node: string;
  readonly version: string;
  readonly command: string;
  readonly suites: readonly SuiteResult[];
}

/** Writes bench/results/NAME.json, and returns the tables for the terminal. */
export function writeResults(
  name: string,
  command: string,
  results: readonly SuiteResult[],
): string {
  const run: ResultFile = {
    date: `${new Date().toISOString().slice(0, 16).replace('T', ' ')} UTC`,
    machine:
      `${availableParallelism()} cores (${cpus()[0]?.model ?? 'unknown'}), ` +
      `${Math.round(totalmem() / 2 ** 30)} GiB`,
    kernel: `Linux ${release()}`,
    node: process.version,
    version: packageVersion,
    command,
    suites: results,
  };
  const folder = path.join(packageRoot, 'bench', 'results');
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, `${name}.json`), `${JSON.stringify(trimmed(run))}\n`);
  return results.map(toMarkdown).join('\n');
}

/** The result without curves, paths and histograms, which docs/benchmarks.md does not show. */
function trimmed(run: ResultFile): unknown {
  const dropped = new Set(['curve', 'memoryCurve', 'buckets', 'target']);
  const isOfTrial = (key: string, value: unknown): boolean =>
    key === 'command' && value !== run.command;
  return JSON.parse(
    JSON.stringify(run, (key, value: unknown) =>
      dropped.has(key) || isOfTrial(key, value) ? undefined : value,
    ),
  ) as unknown;
}
