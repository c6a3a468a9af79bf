// The native code's unit tests: compiles test/native/, runs the program and reports each case as a
// test of its own.
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import { build, type Program, root } from './native-build.js';

/** A first compile on a busy machine takes minutes. */
const TIMEOUT_MS = 900_000;

interface Result {
  name: string;
  isOk: boolean;
  /** What the program said about it. */
  comments: string;
}

async function runProgram(path: string): Promise<{ stdout: string; stderr: string; code: number }> {
  const child = spawn(path, {
    // Tests read test/vectors/.
    cwd: root,
    env: { PATH: process.env.PATH, ASAN_OPTIONS: 'detect_leaks=1:detect_stack_use_after_return=1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const code = await new Promise<number>((resolve) => {
    child.on('close', (code) => {
      resolve(code ?? -1);
    });
  });
  return { stdout, stderr, code };
}

/** Reads TAP: a test's comments stand before its line. */
function readTap(text: string): { plan: number; results: Result[] } {
  const results: Result[] = [];
  let plan = -1;
  let comments = '';
  for (const line of text.split('\n')) {
    const match = /^(ok|not ok) \d+ - (.*)$/.exec(line);
    if (match) {
      results.push({ name: match[2] ?? '', isOk: match[1] === 'ok', comments });
      comments = '';
    } else if (line.startsWith('1..')) {
      plan = Number(line.slice(3));
    } else if (line.startsWith('# ')) {
      comments += `${line.slice(2)}\n`;
    }
  }
  return { plan, results };
}

function buildUnits({ folder, natives, flags }: Variant): Promise<string> {
  const sources = readdirSync(join(root, 'test/native'), {
    recursive: true,
    encoding: 'utf8',
  }).filter((name) => name.endsWith('.cc'));
  return build({
    compiler: 'g++',
    folder,
    name: 'units',
    sources: sources.map((name) => `test/native/${name}`),
    ...(natives && { natives }),
    flags: ['-I', join(root, 'test/native'), ...flags],
  });
}

/** How the tests and the native code are compiled. */
export type Variant = Pick<Program, 'folder' | 'natives' | 'flags'>;

/** Compiles the unit tests, runs them, and hands their results on to tap. */
export async function runUnits(variant: Variant): Promise<void> {
  t.setTimeout(TIMEOUT_MS);
  const { stdout, stderr, code } = await runProgram(await buildUnits(variant));
  const { plan, results } = readTap(stdout);
  for (const { name, isOk, comments } of results) {
    t.test(name, (t) => {
      t.ok(isOk, comments.trim() === '' ? 'passes' : comments);
      t.end();
    });
  }
  t.test('every native test came to its end', (t) => {
    t.ok(plan > 50, 'the program printed its plan');
    t.equal(results.length, plan, 'a result for each test');
    t.equal(stderr, '', 'nothing, and no sanitizer, wrote to standard error');
    t.equal(code, 0, 'the program exits with 0');
    t.end();
  });
}
