// Shared by the push servers in JavaScript: options, and forked workers with their ready line.
import cluster from 'node:cluster';
import { parseArgs } from 'node:util';

export function readOptions() {
  const { values } = parseArgs({
    options: {
      port: { type: 'string' },
      workers: { type: 'string', default: '1' },
      backlog: { type: 'string', default: '4096' },
      'message-bytes': { type: 'string' },
    },
  });
  const numbers = Object.entries(values).map(([name, text]) => [name, Number(text)]);
  for (const [name, value] of numbers) {
    if (Number.isInteger(value) && value >= 1 && value <= 65_535) continue;
    console.error(`--${name}: a whole number from 1 to 65535 is needed`);
    process.exit(1);
  }
  const { 'message-bytes': messageBytes, ...others } = Object.fromEntries(numbers);
  return { ...others, messageBytes };
}

export function message({ messageBytes }) {
  return 'x'.repeat(messageBytes);
}

/**
 * Workers share one listening handle: `reusePort` is newer than the oldest Node that we support.
 */
export function fork({ workers }) {
  cluster.schedulingPolicy = cluster.SCHED_NONE;
  return Array.from({ length: workers }, () => cluster.fork().process.pid);
}

/** Prints `ready PID...` when all workers listen, and ends them with this process. */
export function announceWorkers(pids) {
  let exitCode;
  const stop = (code) => {
    exitCode ??= code;
    for (const worker of Object.values(cluster.workers)) worker.process.kill('SIGKILL');
  };
  process.on('SIGTERM', () => stop(0));
  process.on('SIGINT', () => stop(0));
  let listeningCount = 0;
  cluster.on('listening', () => {
    listeningCount += 1;
    if (listeningCount === pids.length) console.log(`ready ${pids.join(' ')}`);
  });
  // A worker that dies ends the run, because results of the others would mislead.
  cluster.on('exit', () => {
    stop(1);
    if (Object.keys(cluster.workers).length === 0) process.exit(exitCode);
  });
}
