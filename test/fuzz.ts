// Feeds the parsers of the native side with what libFuzzer thinks of, for a short time in each run;
// FUZZ_SECONDS in the environment makes it longer.
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import { build, hasCommand, root } from './native-build.js';

const COMPILER = 'clang++-14';
const SECONDS = Number(process.env['FUZZ_SECONDS'] ?? 20);
/** Compiling on a busy machine, and the run itself. */
t.setTimeout(600_000 + SECONDS * 1000);

// On a developer's machine the compiler may be missing; where CI is set the test runs, and fails.
const isMissing = !hasCommand(COMPILER) && process.env['CI'] === undefined;
const skip = isMissing && 'to fuzz, install the packages clang-14 and libclang-rt-14-dev';

interface Run {
  code: number;
  output: string;
}

function fuzz(program: string, args: readonly string[]): Promise<Run> {
  return new Promise((resolve) => {
    const child = execFile(program, args, { maxBuffer: 1 << 26 }, (_error, stdout, stderr) => {
      resolve({ code: child.exitCode ?? -1, output: stdout + stderr });
    });
  });
}

void t.test('no input makes the readers of frames and addresses fail', { skip }, async (t) => {
  const program = await build({
    compiler: COMPILER,
    folder: 'build-fuzz',
    name: 'fuzz-frames',
    sources: ['test/fuzz/fuzz_frames.cc'],
    natives: ['native/address.cc', 'native/frames.cc'],
    flags: [
      '-g',
      '-O1',
      '-fno-omit-frame-pointer',
      '-fsanitize=fuzzer,address,undefined',
      '-fno-sanitize-recover=all',
    ],
  });
  // What earlier runs found interesting is kept; the seeds stay as they are.
  const corpus = join(root, 'build-fuzz/corpus');
  mkdirSync(corpus, { recursive: true });
  cpSync(join(root, 'test/fuzz/corpus'), corpus, { recursive: true });
  const { code, output } = await fuzz(program, [
    corpus,
    `-max_total_time=${SECONDS}`,
    ...['-max_len=4096', '-rss_limit_mb=1024', '-timeout=10'],
    `-artifact_prefix=${join(root, 'build-fuzz')}/`,
  ]);
  const runs = Number(/Done (\d+) runs/.exec(output)?.[1] ?? 0);
  t.equal(code, 0, 'the fuzzer found nothing');
  t.ok(runs > 1000, `after ${runs} runs`);
  if (!t.passing()) t.comment(output.slice(-20_000));
});
