// Busy loops on the cores of a server, which then has a third of them. The clients have as many
// cores but twice the work of a fast server per connection, and would otherwise be the limit.
import { spawn } from 'node:child_process';
import { once } from 'node:events';

const LOOPS_PER_CORE = 2;
/** Longer than any trial. The loops end by themselves if the trial dies. */
const LONGEST_S = 900;
const LOOP = `const end = Date.now() + ${LONGEST_S * 1000}; while (Date.now() < end);`;

/**
 * Starts the loops on each core of a list.
 *
 * @param cores - A list in the format of taskset(1).
 * @returns A function that ends them.
 */
export function startBusyLoops(cores: string): () => Promise<void> {
  const [first = 0, last = first] = cores.split('-').map(Number);
  const count = last - first + 1;
  const loops = Array.from({ length: count * LOOPS_PER_CORE }, (_, index) =>
    spawn('taskset', ['-c', String(first + (index % count)), process.execPath, '-e', LOOP], {
      stdio: 'ignore',
    }),
  );
  return async () => {
    await Promise.all(
      loops.map(async (loop) => {
        const closed = once(loop, 'close');
        loop.kill('SIGKILL');
        await closed;
      }),
    );
  };
}
