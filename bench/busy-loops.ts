// Loops that do nothing, beside a server on its cores: it gets a third of them, and the clients, which
// have as many cores and twice as much to do per connection as a fast server, are not its limit.
import { spawn } from 'node:child_process';
import { once } from 'node:events';

const LOOPS_PER_CORE = 2;
/** Far beyond any trial; it ends by itself should the trial die. */
const LONGEST_S = 900;
const LOOP = `const end = Date.now() + ${LONGEST_S * 1000}; while (Date.now() < end);`;

/**
 * Starts the loops for each core of a list.
 *
 * @param cores - As taskset(1) takes them.
 * @returns Ends them.
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
