// Whether this program is one of several copies that node:cluster or PM2 started. A server starts its
// own workers, so the second copy finds the address taken.
import cluster from 'node:cluster';

/** A hint for the error of an address that is in use; empty outside of node:cluster and PM2. */
export function forkedCopyHint(
  env: NodeJS.ProcessEnv = process.env,
  isClusterWorker: boolean = cluster.isWorker,
): string {
  // PM2 sets this variable in both of its modes.
  const isPm2 = env['NODE_APP_INSTANCE'] !== undefined;
  if (!isPm2 && !isClusterWorker) return '';
  const starter = isPm2 ? 'PM2' : 'node:cluster';
  return `; under ${starter} start one process: the server starts its own workers`;
}
