// Loops that do nothing, beside a server on its cores: it gets half of them, and the clients, which
// have as many cores and more to do per connection than a fast server, are not its limit any more.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { availableParallelism } from 'node:os';

/** Far beyond any trial; it ends by itself should the trial die. */
const LONGEST_S = 900;
const LOOP = `const end = Date.now() + ${LONGEST_S * 1000}; while (Date.now() < end);`;

/**
 * Starts one loop for each core of a list.
 *
 * @param cores - As taskset(1) takes them.
 * @returns Ends them.
 */
export function startBusyLoops(cores: string): () => Promise<void> {
  const [first = 0, last = first] = cores.split('-').map(Number);
  const count = Math.min(last - first + 1, availableParallelism());
  const loops = Array.from({ length: count }, (_, index) =>
    spawn('taskset', ['-c', String(first + index), process.execPath, '-e', LOOP], {
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
