// The native code's unit tests: compiles test/native/, runs the program and reports each case as a
// test of its own.
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';

import { build, type Program, root } from './native-build.js';

/** A first compile on a busy machine takes minutes. */
const TIMEOUT_MS = 900_000;

interface Result {
  name: string;
  isOk: boolean;
  /** The output of the program about it. */
  comments: string;
}

interface Ended {
  stdout: string;
  stderr: string;
  code: number;
}

async function runProgram(command: string, args: readonly string[], env: object): Promise<Ended> {
  const child = spawn(command, args, {
    // Tests read test/vectors/.
    cwd: root,
    env: {
      PATH: process.env.PATH,
      ASAN_OPTIONS: 'detect_leaks=1:detect_stack_use_after_return=1',
      ...env,
    },
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

/** The tests of this room need OpenSSL: they run as an addon in a process of Node. */
const ROOM_IN_NODE = 'tls/';
const FLAGS_IN_NODE = ['-DUNIT_IN_NODE', '-shared', '-fPIC'];

function sourcesOf(isInNode: boolean): string[] {
  const names = readdirSync(join(root, 'test/native'), { recursive: true, encoding: 'utf8' });
  const isWanted = (name: string): boolean =>
    isInNode
      ? name.startsWith(ROOM_IN_NODE) || name.startsWith('support/')
      : !name.startsWith(ROOM_IN_NODE);
  return names.filter((name) => name.endsWith('.cc') && isWanted(name));
}

function buildUnits({ folder, natives, flags }: Variant, isInNode: boolean): Promise<string> {
  return build({
    compiler: 'g++',
    folder,
    name: 'units',
    sources: sourcesOf(isInNode).map((name) => `test/native/${name}`),
    ...(natives && { natives }),
    flags: ['-I', join(root, 'test/native'), ...flags, ...(isInNode ? FLAGS_IN_NODE : [])],
  });
}

/** How the tests and the native code are compiled. */
export type Variant = Pick<Program, 'folder' | 'natives' | 'flags'>;

/** Compiles the unit tests, runs them, and hands their results on to tap. */
export async function runUnits(variant: Variant): Promise<void> {
  t.setTimeout(TIMEOUT_MS);
  const ended = await runProgram(await buildUnits(variant, false), [], {});
  reportUnits(t, ended, 50);
}

/** The same for the tests that need OpenSSL, under each of these programs of Node. */
export async function runUnitsInNode(
  variant: Variant,
  nodes: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<void> {
  t.setTimeout(TIMEOUT_MS);
  const path = await buildUnits(variant, true);
  const script = 'process.dlopen({ exports: {} }, process.argv[1])';
  for (const node of nodes) {
    await t.test(`with ${node}`, async (t) => {
      const ended = await runProgram(node, ['-e', script, path], env);
      reportUnits(t, ended, 5);
    });
  }
}

function reportUnits(t: Test, { stdout, stderr, code }: Ended, least: number): void {
  const { plan, results } = readTap(stdout);
  for (const { name, isOk, comments } of results) {
    t.test(name, (t) => {
      t.ok(isOk, comments.trim() === '' ? 'passes' : comments);
      t.end();
    });
  }
  t.test('every native test came to its end', (t) => {
    t.ok(plan > least, 'the program printed its plan');
    t.equal(results.length, plan, 'a result for each test');
    t.equal(stderr, '', 'nothing, and no sanitizer, wrote to standard error');
    t.equal(code, 0, 'the program exits with 0');
    t.end();
  });
}
