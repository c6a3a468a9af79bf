// Busy loops on the cores of a server leave it a third of them. Otherwise the clients would be the
// limit: they have as many cores, but twice the work of a fast server for each connection.
import { spawn } from 'node:child_process';
import { once } from 'node:events';

const LOOPS_PER_CORE = 2;
/** The loops end by themselves after this time, which is longer than any trial. */
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
