// Which programs can start a process that runs the addon. A child runs this process's own executable,
// so that must be Node.js, and a thread must not be the parent.
import { createRequire } from 'node:module';
import { isMainThread } from 'node:worker_threads';

import { MegacometError } from '../base/errors.js';

const require = createRequire(import.meta.url);

/** The facts of the running program that the check reads. */
export interface Runtime {
  readonly versions: Readonly<Record<string, string | undefined>>;
  readonly argv: readonly string[];
  readonly argv0: string;
  readonly isMainThread: boolean;
  /** Undefined before Node.js 20.12, which has no node:sea. */
  readonly isSea: boolean | undefined;
}

const OTHER_RUNTIMES = ['bun', 'deno', 'electron'];

function isSea(): boolean | undefined {
  try {
    return (require('node:sea') as { isSea(): boolean }).isSea();
  } catch {
    return undefined;
  }
}

/** The reason why a program cannot start workers; undefined if it can. */
export function reasonAgainst(runtime: Runtime): string | undefined {
  const { versions, argv, argv0 } = runtime;
  const other = OTHER_RUNTIMES.find((name) => versions[name] !== undefined);
  if (other !== undefined) return `megacomet-ts runs on Node.js, not on ${other}`;
  const { reasonAgainstNode } = require('#node-version') as {
    reasonAgainstNode: (version: string | undefined) => string | undefined;
  };
  const reason = reasonAgainstNode(versions['node']);
  if (reason !== undefined) return reason;
  // A single executable runs its own program with any arguments: it would start itself without end.
  // The first argument of its program is its own name, not the path of a script.
  if (runtime.isSea ?? argv[1] === argv0) {
    return 'megacomet-ts starts node for its workers, which a single executable is not';
  }
  if (runtime.isMainThread) return undefined;
  return 'listen() works in the main thread only: workers would outlive another thread';
}

/** @throws MegacometError `ERR_RUNTIME` if this program cannot start workers. */
export function checkRuntime(): void {
  const { versions, argv, argv0 } = process;
  const reason = reasonAgainst({ versions, argv, argv0, isMainThread, isSea: isSea() });
  if (reason !== undefined) throw new MegacometError('ERR_RUNTIME', reason);
}
