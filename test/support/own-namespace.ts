// Test files that run a second time, in a network namespace of their own.
import { fileURLToPath } from 'node:url';

import type { Test } from 'tap';

import { without } from './requirements.js';

/** Of the second run. */
const INSIDE = 'TEST_IN_NAMESPACE';
/** The runner's loader: without the runner's variables it reports coverage, and the run fails. */
const LOADER = /^--import=file:.*\/@tapjs\/processinfo\//;

/** Whether this is the second run. */
export function isInNamespace(): boolean {
  return process.env[INSIDE] !== undefined;
}

/**
 * Runs a test file again in a namespace.
 *
 * @param file - Its `import.meta.url`.
 * @param tools - The optional tools that it needs besides `ip`.
 */
export function runInNamespace(t: Test, file: string, ...tools: readonly string[]): void {
  const skip = without('namespaces', 'ip', ...tools);
  const env = { ...process.env, [INSIDE]: 'yes' };
  const own = process.execArgv.filter((argument) => !LOADER.test(argument));
  const args = ['--net', process.execPath, ...own, fileURLToPath(file)];
  void t.spawn('unshare', args, { env, skip }, 'in its own network namespace');
}
