// The tables of the comparison: medians, figures, and how a run is written down.
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, release, totalmem } from 'node:os';
import path from 'node:path';

import { packageRoot, packageVersion } from '../lib/system/native.js';

/** A part of the comparison: its rows, and the raw trials behind them. */
export interface SuiteResult {
  readonly suite: string;
  readonly title: string;
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
  readonly trials: readonly unknown[];
  /** Sentences under the table. */
  readonly notes?: readonly string[];
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2;
}

export function figure(value: number, digits: number): string {
  return Number.isFinite(value)
    ? value.toLocaleString('en-US', {
        minimumFractionDigits: digits,
        maximumFractionDigits: digits,
      })
    : '–';
}

export function ratio(value: number, base: number): string {
  return figure(value / base, 2);
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

/** One folder a run: the table for people, the raw trials for whoever doubts it. */
export function writeResults(
  name: string,
  command: string,
  results: readonly SuiteResult[],
): string {
  const facts = [
    `Date: ${new Date().toISOString().slice(0, 16).replace('T', ' ')} UTC`,
    `Machine: ${availableParallelism()} cores (${cpus()[0]?.model ?? 'unknown'}), ` +
      `${Math.round(totalmem() / 2 ** 30)} GiB`,
    `Kernel: Linux ${release()}; Node ${process.version}; megacomet-ts ${packageVersion}`,
    `Command: \`${command}\``,
  ];
  const text = [...facts.map((fact) => `- ${fact}`), '', ...results.map(toMarkdown)].join('\n');
  const folder = path.join(packageRoot, 'bench', 'results');
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, `${name}.md`), text);
  writeFileSync(path.join(folder, `${name}.json`), `${JSON.stringify(trimmed(results))}\n`);
  return text;
}

/** The raw result without what no reader needs: curves, paths and histograms. */
function trimmed(results: readonly SuiteResult[]): unknown {
  const dropped = new Set(['curve', 'memoryCurve', 'buckets', 'command', 'target']);
  return JSON.parse(
    JSON.stringify(results, (key, value: unknown) => (dropped.has(key) ? undefined : value)),
  ) as unknown;
}
