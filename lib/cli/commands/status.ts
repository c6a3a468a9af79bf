// `megacomet-ts status`: prints the current state of a running server.
import { setTimeout as sleep } from 'node:timers/promises';

import { fetchStats } from '../../api/admin-client.js';
import { MegacometError } from '../../base/errors.js';
import { readSettings } from '../../options/config.js';
import { toJson, type Count, type Stats } from '../../stats/stats.js';
import type { Output } from '../output.js';

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

/** The table of one snapshot. With an earlier snapshot the rates are those between the two. */
export function formatStatus({ stats, atMs }: Snapshot, before: Snapshot | undefined): string {
  const seconds = before === undefined ? stats.uptimeSeconds : (atMs - before.atMs) / 1000;
  const header = ['slot', 'pid', 'state', 'connections', 'accepted/s', 'echoed/s', 'lag', 'memory'];
  const rows = stats.workers.map((worker) => {
    const earlier = before?.stats.workers[worker.slot];
    const perSecond = (key: string): string =>
      rate(worker[key] as Count, earlier?.[key] as Count | undefined, seconds);
    return [
      String(worker.slot),
      String(worker.pid ?? '-'),
      worker.state,
      String(worker['connections']),
      perSecond('acceptedTotal'),
      perSecond('echoedTotal'),
      `${worker.loopLagMaxMs.toFixed(1)} ms`,
      megabytes(worker.privateBytes),
    ];
  });
  const { totals } = stats;
  const perConnection = stats.memory.userBytesPerConnection;
  return [
    `megacomet-ts ${stats.version} on ${stats.listen.join(', ')}, up ${stats.uptimeSeconds} s` +
      (stats.isDraining ? ', draining' : ''),
    '',
    alignRight([header, ...rows]),
    '',
    `connections  ${String(totals['connections'])} of ${stats.maxConnections}`,
    `accepted     ${String(totals['acceptedTotal'])}, ` +
      `rejected ${String(totals['rejectedTotal'])}, failed ${String(totals['acceptFailedTotal'])}`,
    `closed       ${String(totals['closedTotal'])}, ` +
      `by crash ${String(totals['closedByCrashTotal'])}`,
    `memory       ${megabytes(stats.memory.privateBytes)} private` +
      (perConnection === null ? '' : `, ${perConnection.toFixed(0)} bytes per connection`),
  ].join('\n');
}

async function take(admin: string): Promise<Snapshot> {
  return { stats: await fetchStats(admin), atMs: performance.now() };
}

/** A snapshot, or why there is none: a watched server may restart. */
async function takeOrReason(admin: string): Promise<Snapshot | string> {
  try {
    return await take(admin);
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
  const admin = settings['admin'] as string;
  const isJson = settings['json'] === true;
  const format = (now: Snapshot, before?: Snapshot): string =>
    isJson ? toJson(now.stats) : formatStatus(now, before);
  if (settings['watch'] !== true) {
    await output.print(format(await take(admin)));
    return 0;
  }
  let before: Snapshot | undefined;
  for (;;) {
    const now = await takeOrReason(admin);
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
    await sleep(WATCH_INTERVAL_MS);
  }
}
