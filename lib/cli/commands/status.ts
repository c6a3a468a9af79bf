// `megacomet-ts status`: prints the current state of a running server.
import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

import { fetchStats } from '../../api/admin-client.js';
import { MegacometError } from '../../base/errors.js';
import { readSettings } from '../../options/config.js';
import { formatExactJson } from '../../base/exact-json.js';
import type { Count, Stats, WorkerStats } from '../../stats/stats.js';
import { adminAccessOf, type AdminAccess } from '../admin-access.js';
import { counted, type Output } from '../output.js';
import { SIGNAL_EXIT } from '../process-interface.js';

const WATCH_INTERVAL_MS = 1000;

interface Snapshot {
  readonly stats: Stats;
  readonly atMs: number;
}

function megabytes(bytes: number | null): string {
  return bytes === null ? '-' : `${(bytes / 1e6).toFixed(1)} MB`;
}

/** Events per second between two snapshots; without an earlier one, over the server's uptime. */
function rate(now: Count | undefined, before: Count | undefined, seconds: number): string {
  if (seconds <= 0) return '-';
  return String(Math.max(0, Math.round((Number(now ?? 0) - Number(before ?? 0)) / seconds)));
}

function alignRight(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? '').length)),
  );
  return rows
    .map((row) => row.map((cell, column) => cell.padStart(widths[column] ?? 0)).join('  '))
    .join('\n');
}

interface Column {
  readonly title: string;
  readonly cells: readonly string[];
  /** A narrow terminal omits the columns with the highest numbers first. */
  readonly rank: number;
}

/** The table of the workers, with the columns that fit. */
function workerTable(
  { stats, atMs }: Snapshot,
  before: Snapshot | undefined,
  width: number,
): string {
  const seconds = before === undefined ? stats.uptimeSeconds : (atMs - before.atMs) / 1000;
  const column = (title: string, rank: number, cell: (worker: WorkerStats) => string): Column => ({
    ...{ title, rank },
    cells: stats.workers.map(cell),
  });
  const perSecond = (title: string, rank: number, key: string): Column =>
    column(title, rank, (worker) => {
      const earlier = before?.stats.workers[worker.slot];
      return rate(worker[key] as Count, earlier?.[key] as Count | undefined, seconds);
    });
  const isComet = stats.protocol === 'comet';
  let columns = [
    column('slot', 0, ({ slot }) => String(slot)),
    column('pid', 5, ({ pid }) => String(pid ?? '-')),
    column('state', 1, ({ state }) => state),
    column('connections', 2, (worker) => String(worker['connections'])),
    perSecond('accepted/s', 6, 'acceptedTotal'),
    isComet
      ? perSecond('delivered/s', 3, 'deliveredTotal')
      : perSecond('echoed/s', 3, 'echoedTotal'),
    column('lag', 7, ({ loopLagMaxMs }) => `${loopLagMaxMs.toFixed(1)} ms`),
    column('memory', 4, ({ privateBytes }) => megabytes(privateBytes)),
  ];
  for (;;) {
    const table = alignRight([
      columns.map(({ title }) => title),
      ...stats.workers.map((_, row) => columns.map(({ cells }) => cells[row] ?? '')),
    ]);
    if (columns.length < 3 || (table.split('\n')[0] ?? '').length <= width) return table;
    const last = Math.max(...columns.map(({ rank }) => rank));
    columns = columns.filter(({ rank }) => rank < last);
  }
}

/** The work of a comet server: published, delivered, subscribers, gaps and history. */
function messageLines({ messages, totals, admin }: Stats): string[] {
  if (messages === null) return [];
  const count = (field: string): string => String(messages[field] ?? 0);
  const total = (field: string): string => String(totals[field] ?? 0);
  return [
    `messages     ${count('messagesPublishedTotal')} published, ${total('deliveredTotal')} delivered, ` +
      `${count('publishesBusyTotal')} busy`,
    `subscribers  ${total('subscriptions')} of ${count('subscribedChannels')} channels`,
    `resumed      ${total('replayedTotal')} messages replayed, ${total('gapsTotal')} gaps`,
    `history      ${count('historyMessages')} messages, ` +
      `${megabytes(messages['historyMemoryBytes'] ?? 0)}, ${count('historyEvictedTotal')} evicted`,
    `rejected     ${total('badRequestsTotal')} requests, ` +
      `${admin?.['unauthorizedTotal'] ?? 0} without an admin token`,
  ];
}

/** The log of the messages, and the servers that share it. */
function logLines({ logState: log }: Stats): string[] {
  if (log === null) return [];
  const health = log.isDown ? 'down' : log.isReady ? 'ready' : 'not ready';
  const state = log.isCutOff ? `${health} and clients are closed` : health;
  const lag = log.lagMs === null ? '' : `, lag ${log.lagMs} ms`;
  return [
    `log          ${log.name}, ${state}, position ${log.position}, epoch ${log.epoch}${lag}`,
    ...log.nodes.map(
      ({ node, version, connections, ageMs, isSelf }) =>
        `node         ${node}${isSelf ? ' (this one)' : ''}, version ${version}, ` +
        `${counted(connections, 'connection')}, seen ${(ageMs / 1000).toFixed(1)} s ago`,
    ),
  ];
}

/**
 * The table of one snapshot. With an earlier snapshot the rates are those between the two.
 *
 * @param width - Columns of the terminal.
 */
export function formatStatus(now: Snapshot, before: Snapshot | undefined, width = 80): string {
  const { stats } = now;
  const { totals, workers } = stats;
  const perConnection = stats.memory.userBytesPerConnection;
  const restarts = workers.reduce((sum, worker) => sum + worker.restarts, 0);
  const serving = workers.filter(({ state }) => state === 'serving').length;
  return [
    `megacomet-ts ${stats.version} on ${stats.listen.join(', ')}, up ${stats.uptimeSeconds} s` +
      (stats.isDraining ? ', draining' : ''),
    '',
    workerTable(now, before, width),
    '',
    `protocol     ${stats.protocol}`,
    `workers      ${serving} of ${workers.length} serving, ${counted(restarts, 'restart')}`,
    `connections  ${String(totals['connections'])} of ${stats.maxConnections}`,
    `accepted     ${String(totals['acceptedTotal'])}, ` +
      `rejected ${String(totals['rejectedTotal'])}, failed ${String(totals['acceptFailedTotal'])}`,
    `closed       ${String(totals['closedTotal'])}, ` +
      `by crash ${String(totals['closedByCrashTotal'])}`,
    ...messageLines(stats),
    ...logLines(stats),
    `memory       ${megabytes(stats.memory.privateBytes)} private` +
      (perConnection === null ? '' : `, ${perConnection.toFixed(0)} bytes per connection`),
  ].join('\n');
}

async function take({ admin, token, trust }: AdminAccess): Promise<Snapshot> {
  return { stats: await fetchStats(admin, token, trust), atMs: performance.now() };
}

/** A snapshot, or why there is none: a watched server may restart. */
async function takeOrReason(access: AdminAccess): Promise<Snapshot | string> {
  try {
    return await take(access);
  } catch (error) {
    if (error instanceof MegacometError && error.code === 'ERR_UNREACHABLE') return error.message;
    throw error;
  }
}

/**
 * Runs the command; resolves to the exit code. With --watch it runs until a signal.
 *
 * @throws MegacometError `ERR_UNREACHABLE`.
 */
export async function status(flags: Record<string, unknown>, output: Output): Promise<number> {
  const settings = readSettings('status', { flags, env: process.env });
  const access = adminAccessOf(settings);
  const isJson = settings['json'] === true;
  const format = (now: Snapshot, before?: Snapshot): string =>
    isJson ? formatExactJson(now.stats) : formatStatus(now, before, output.columns);
  if (settings['watch'] !== true) {
    await output.print(format(await take(access)));
    return 0;
  }
  const end = new AbortController();
  let code = 0;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      code = SIGNAL_EXIT + constants.signals[signal];
      end.abort();
    });
  }
  let before: Snapshot | undefined;
  while (!end.signal.aborted) {
    const now = await takeOrReason(access);
    // JSON lines must stay JSON, so a server that does not answer is a line of its own kind.
    const text =
      typeof now !== 'string'
        ? format(now, before)
        : isJson
          ? JSON.stringify({ error: now })
          : `no answer: ${now}`;
    if (!(await (isJson ? output.print(text) : output.redraw(text)))) return 0;
    // Rates span two answers of one server, so they begin again after a restart.
    before = typeof now === 'string' ? undefined : now;
    await sleep(WATCH_INTERVAL_MS, undefined, { signal: end.signal }).catch(() => undefined);
  }
  output.release();
  return code;
}
