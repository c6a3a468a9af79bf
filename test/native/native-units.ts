// The native code's unit tests: compiles test/native/ with AddressSanitizer and
// UndefinedBehaviorSanitizer, runs the program, and hands its TAP lines on.
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import { build, root } from '../support/native-build.js';

/** A first compile on a busy machine takes minutes. */
const TIMEOUT_MS = 900_000;
t.setTimeout(TIMEOUT_MS);

interface Result {
  name: string;
  isOk: boolean;
  /** What the program said about it. */
  comments: string;
}

async function runProgram(path: string): Promise<{ stdout: string; stderr: string; code: number }> {
  const child = spawn(path, {
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

/** Compiles the tests and the native code with the sanitizers. Answers the program. */
function buildUnits(): Promise<string> {
  const sources = readdirSync(join(root, 'test/native'), {
    recursive: true,
    encoding: 'utf8',
  }).filter((name) => name.endsWith('.cc'));
  return build({
    compiler: 'g++',
    folder: 'build-native-tests',
    name: 'units',
    sources: sources.map((name) => `test/native/${name}`),
    flags: [
      ...['-I', join(root, 'test/native')],
      '-g',
      '-O1',
      '-fno-omit-frame-pointer',
      '-fsanitize=address,undefined',
      '-fno-sanitize-recover=all',
    ],
  });
}

const program = await buildUnits();
const { stdout, stderr, code } = await runProgram(program);
const { plan, results } = readTap(stdout);
for (const { name, isOk, comments } of results) {
  t.test(name, (t) => {
    t.ok(isOk, comments.trim() === '' ? 'passes under the sanitizers' : comments);
    t.end();
  });
}

t.test('every native test came to its end', (t) => {
  t.ok(plan > 50, 'the program printed its plan');
  t.equal(results.length, plan, 'a result for each test');
  t.equal(stderr, '', 'no sanitizer, and nothing else, wrote to standard error');
  t.equal(code, 0, 'the program exits with 0');
  t.end();
});
