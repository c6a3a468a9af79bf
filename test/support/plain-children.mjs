// Loaded into the process of every test file: the programs that a test starts run as a user starts
// them. The test runner would put its loaders into NODE_OPTIONS of each, a third of a second of CPU.
import processOnSpawn from 'process-on-spawn';

/** A variable of the runner's report on processes, which is off. */
const OF_RUNNER = /^_TAPJS_PROCESSINFO_/;
/** The runner's loader as it stands in NODE_OPTIONS, before the test's own options. */
const LOADER = /"--import=file:[^"]*\/@tapjs\/processinfo\/[^"]*"\s*/g;

function plain(environment) {
  const { NODE_OPTIONS: options = '', ...others } = environment;
  const kept = Object.entries(others).filter(([name]) => !OF_RUNNER.test(name));
  const own = options.replace(LOADER, '');
  return { ...Object.fromEntries(kept), ...(own !== '' && { NODE_OPTIONS: own }) };
}

// The present process.env is the runner's, and a test that copies it passes it on.
delete process.env.NODE_OPTIONS;
// The runner added its listener earlier, so this one sees the additions of that one.
processOnSpawn.addListener((child) => {
  child.env = plain(child.env);
});
