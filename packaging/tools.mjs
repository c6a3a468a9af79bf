// Shared by the packaging scripts: architectures, commands that must succeed, errors of one sentence.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export const ROOT = join(import.meta.dirname, '..');

export const PACKAGE = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));

/** The names of an architecture: for Node, for Debian, for the GNU tools. */
export const TARGETS = {
  x64: { debian: 'amd64', gnu: 'x86_64-linux-gnu', compilerPackage: 'g++-x86-64-linux-gnu' },
  arm64: { debian: 'arm64', gnu: 'aarch64-linux-gnu', compilerPackage: 'g++-aarch64-linux-gnu' },
};

/** Ends a script with one sentence. */
export class PackagingError extends Error {}

/** Whether a command can be started. */
export function hasCommand(command) {
  return spawnSync(command, ['--version'], { stdio: 'ignore' }).error === undefined;
}

/** Runs a command that must succeed; shows its output only if it fails. */
export function run(command, args, options = {}) {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    encoding: 'utf8',
    maxBuffer: 1 << 26,
    ...options,
  });
  if (error) throw new PackagingError(`${command} cannot be started: ${error.message}`);
  if (status !== 0) {
    process.stderr.write(`${stdout}${stderr}`);
    throw new PackagingError(`${[command, ...args].join(' ')} failed, see above`);
  }
  return stdout;
}

/** Runs a script's work and turns its failure into a sentence and exit code 1. */
export async function main(work) {
  try {
    await work();
  } catch (error) {
    const isUsage = String(error.code).startsWith('ERR_PARSE_ARGS');
    if (!(error instanceof PackagingError) && !isUsage) throw error;
    process.stderr.write(`megacomet-ts: ${error.message}\n`);
    process.exitCode = 1;
  }
}
