// The endpoints of the admin server that read: channels, presence and history. Each takes the query
// of a request, and returns JSON.
import { HISTORY_LIMIT, HISTORY_LIMIT_MAX, type HistoryQuery } from '../broker/history-reader.js';
import type { ChannelHistoryPage } from '../broker/history-reader.js';
import type { GatheredPresence } from '../broker/presence.js';
import type { ChannelPage, ChannelQuery } from '../broker/publishing.js';
import { historyMembers, presenceMembers } from '../broker/query-answers.js';
import { RequestFault } from './publish-request.js';

/** The calls of the broker that read. */
export interface QueryTarget {
  channels(query: ChannelQuery): Promise<ChannelPage>;
  gatherPresence(channel: string, limit?: number): Promise<GatheredPresence>;
  history(channel: string, query?: HistoryQuery): ChannelHistoryPage;
}

const CHANNELS_MAX = 10_000;
/** Connections that one answer about presence names. */
const CONNECTIONS_MAX = 10_000;
/** Bytes of one answer, below the limit of the client in admin-client.ts. */
const ANSWER_BYTES_MAX = 8 * 1024 * 1024;

/** The parameters of a query, each at most once. @throws RequestFault */
function parametersOf(query: string, names: readonly string[]): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const [name, value] of new URLSearchParams(query)) {
    if (!names.includes(name)) {
      const known = [names.slice(0, -1).join(', '), names.at(-1) ?? ''].join(' and ');
      throw new RequestFault(`unknown query parameter: only ${known} are allowed`);
    }
    if (found.has(name)) throw new RequestFault(`${name} is given twice`);
    found.set(name, value);
  }
  return found;
}

function integerOf(
  parameters: ReadonlyMap<string, string>,
  name: string,
  usual: number,
  [min, max]: readonly [number, number],
): number {
  const value = parameters.get(name) ?? String(usual);
  const isInside = /^\d{1,16}$/.test(value) && Number(value) >= min && Number(value) <= max;
  if (isInside) return Number(value);
  throw new RequestFault(`${name} must be a whole number between ${min} and ${max}`);
}

function channelOf(parameters: ReadonlyMap<string, string>): string {
  const channel = parameters.get('channel');
  if (channel === undefined) throw new RequestFault('channel is required');
  return channel;
}

export async function channels(target: QueryTarget, query: string): Promise<string> {
  const parameters = parametersOf(query, ['prefix', 'pattern', 'limit', 'from']);
  const pattern = parameters.get('pattern');
  const { isComplete, ...page } = await target.channels({
    prefix: parameters.get('prefix') ?? '',
    ...(pattern === undefined ? {} : { pattern }),
    limit: integerOf(parameters, 'limit', 1000, [0, CHANNELS_MAX]),
    from: integerOf(parameters, 'from', 0, [0, Number.MAX_SAFE_INTEGER]),
  });
  return JSON.stringify({ ...page, complete: isComplete });
}

export async function presence(target: QueryTarget, query: string): Promise<string> {
  const parameters = parametersOf(query, ['channel', 'limit']);
  const limit = integerOf(parameters, 'limit', CONNECTIONS_MAX, [0, CONNECTIONS_MAX]);
  const gathered = await target.gatherPresence(channelOf(parameters), limit);
  const bounds = { limit: CONNECTIONS_MAX, bytesMax: ANSWER_BYTES_MAX };
  return `{${presenceMembers(gathered, bounds, true)}}`;
}

export function history(target: QueryTarget, query: string): string {
  const parameters = parametersOf(query, ['channel', 'limit', 'since']);
  const limit = integerOf(parameters, 'limit', HISTORY_LIMIT, [1, HISTORY_LIMIT_MAX]);
  const since = parameters.get('since');
  const channel = channelOf(parameters);
  const page = target.history(channel, { limit, ...(since === undefined ? {} : { since }) });
  return `{${historyMembers(page, { limit, bytesMax: ANSWER_BYTES_MAX })}}`;
}
