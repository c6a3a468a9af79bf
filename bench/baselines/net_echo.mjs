// The usual echo server on Node's own `net` module.
// The workers share one listening handle (SCHED_NONE), because `reusePort` is newer than the oldest
// Node that we support. Node raises its own descriptor limit and closes peers it has no room for.
import cluster from 'node:cluster';
import { createServer } from 'node:net';
import { parseArgs } from 'node:util';

function readOptions() {
  const { values } = parseArgs({
    options: {
      host: { type: 'string' },
      port: { type: 'string' },
      workers: { type: 'string', default: '1' },
      backlog: { type: 'string', default: '4096' },
    },
  });
  return {
    host: values.host,
    port: wholeNumber('port', values.port, 65_535),
    workerCount: wholeNumber('workers', values.workers, 1024),
    backlog: wholeNumber('backlog', values.backlog, 65_535),
  };
}

function wholeNumber(name, text, max) {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1 && value <= max) return value;
  fail(`--${name} ${text}: a whole number from 1 to ${max} is needed`);
}

function fail(sentence) {
  console.error(sentence);
  process.exit(1);
}

function runWorker({ host, port, backlog }) {
  // All sockets share the handlers: a closure per socket would count as a cost of `net`.
  const server = createServer({ noDelay: true }, (socket) => {
    socket.on('data', echo);
    socket.on('drain', socket.resume);
    socket.on('error', socket.destroy);
  });
  server.on('error', (error) => fail(`listen: ${error.message}`));
  // Without a host Node takes `::` for both families, or 0.0.0.0 without IPv6.
  server.listen({ host, port, backlog });
}

function echo(chunk) {
  if (!this.write(chunk)) this.pause();
}

function runManager({ workerCount }) {
  cluster.schedulingPolicy = cluster.SCHED_NONE;
  let exitCode;
  const stop = (code) => {
    exitCode ??= code;
    for (const worker of Object.values(cluster.workers)) worker.process.kill('SIGKILL');
  };
  process.on('SIGTERM', () => stop(0));
  process.on('SIGINT', () => stop(0));

  const pids = Array.from({ length: workerCount }, () => cluster.fork().process.pid);
  let listeningCount = 0;
  cluster.on('listening', () => {
    listeningCount += 1;
    if (listeningCount === workerCount) console.log(`ready ${pids.join(' ')}`);
  });
  // A worker that dies ends the run, because results of the others would mislead.
  cluster.on('exit', () => {
    stop(1);
    if (Object.keys(cluster.workers).length === 0) process.exit(exitCode);
  });
}

const options = readOptions();
if (cluster.isPrimary) runManager(options);
else runWorker(options);
