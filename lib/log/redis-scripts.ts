// The two scripts of a log in Redis. All that must be decided in one step is decided there: the number
// of an entry, whether it was appended before, and which sequence is in force.
import { createHash } from 'node:crypto';

import { isReply, wordOf, type RedisClient } from './redis-client.js';

/** The keys of a log. The braces keep them in one slot, for services that are a cluster of one. */
export interface RedisKeys {
  /** The stream. */
  readonly log: string;
  /** A hash: the epoch, the last numbers, and the server that they were noted on. */
  readonly state: string;
  /** A hash: the last appends of each node, by which a repeated one is found. */
  readonly ids: string;
  /** A list: numbers that divide the stream in parts of the same size, for trimming. */
  readonly marks: string;
}

export function redisKeys(prefix: string): RedisKeys {
  const key = (name: string): string => `{${prefix}}:${name}`;
  return { log: key('log'), state: key('state'), ids: key('ids'), marks: key('marks') };
}

/** Appends of a node that are remembered. A node has few under way, and repeats only those. */
const REMEMBERED = 128;
/** Parts of the stream: trimming drops a whole one. */
const PARTS = 64;
/**
 * Numbers that a new sequence skips. Nodes may have read further than the one that begins it: by as
 * much as the log can take while one of them is late. 2^20 are 10 s at 100,000 entries a second, and
 * leave room for 8 million new sequences below 2^43.
 */
export const SKIPPED = 2 ** 20;

const NOW = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function text(number) return string.format('%.0f', number) end
`;

/**
 * Appends an entry, unless its id is known. It writes nothing where the node's view of the log is
 * not that of the log: another epoch, another server, or a log that went back.
 */
const APPEND = `${NOW}
local epoch, run, applied, node, count, before, part = unpack(ARGV)
local function slot(n) return node .. ':' .. text(n % ${REMEMBERED}) end
local function find(n)
  local known = redis.call('HGET', KEYS[3], slot(n))
  if not known then return nil end
  local found, seq = string.match(known, '^(%d+)=(%d+)$')
  return found == n and seq or nil
end
local known = find(count)
if known then return {'ok', known} end
if before ~= '' and not find(before) then return {'order'} end
local state = redis.call('HMGET', KEYS[2], 'epoch', 'run', 'seq', 'at', 'bytes')
if state[1] ~= epoch or state[2] ~= run or tonumber(applied) > tonumber(state[3]) then
  return {'stale'}
end
local seq = text(state[3] + 1)
local at = text(math.max(now, tonumber(state[4])))
redis.call('XADD', KEYS[1], seq .. '-0', 'h', epoch .. ' ' .. at .. ' ' .. node .. ' ' .. count, 'b', ARGV[8])
local bytes = state[5] + #ARGV[8]
if bytes >= tonumber(part) then
  bytes = 0
  redis.call('RPUSH', KEYS[4], seq)
  if redis.call('LLEN', KEYS[4]) > ${PARTS} then
    local first = redis.call('LPOP', KEYS[4])
    redis.call('XTRIM', KEYS[1], 'MINID', '~', first .. '-0')
    local ids = redis.call('HGETALL', KEYS[3])
    for i = 1, #ids, 2 do
      local old = string.match(ids[i + 1], '=(%d+)$')
      if tonumber(old) < tonumber(first) then redis.call('HDEL', KEYS[3], ids[i]) end
    end
  end
end
redis.call('HSET', KEYS[2], 'seq', seq, 'head', seq, 'at', at, 'bytes', text(bytes))
redis.call('HSET', KEYS[3], slot(count), count .. '=' .. seq)
return {'ok', seq}
`;

/**
 * Returns the state of the log, and begins a new sequence where the old one cannot go on: on another
 * server than the noted one, after numbers were lost, or where a node saw entries that this log never
 * had. A seam, an entry without messages, tells the readers.
 */
const CLAIM = `${NOW}
local run, known, fresh, at, keeps, disputed, believed = unpack(ARGV)
local state = redis.call('HMGET', KEYS[2], 'epoch', 'run', 'seq', 'at', 'seam', 'head')
local epoch, noted, seam, head = state[1], tonumber(state[3] or 0), state[5] or '0', state[6] or '0'
now = math.max(now, tonumber(at), tonumber(state[4] or 0))
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local last = math.max(noted, newest and tonumber(string.match(newest[1], '^%d+')) or 0)
local top = math.max(last, tonumber(known))
local isNew = not epoch and top == 0
local isWrong = top > noted or (disputed ~= '' and disputed == epoch)
if isNew or isWrong or state[2] ~= run then
  local old = epoch or believed
  if isNew or isWrong or keeps == '0' then epoch = fresh end
  local seq = '0'
  if not isNew then
    local start = top + ${SKIPPED}
    seq = text(start)
    -- A disputed epoch has more entries than this node can count, so that every reader misses some.
    if isWrong and top == noted then top = start - 1 end
    redis.call('XADD', KEYS[1], seq .. '-0', 's',
      epoch .. ' ' .. old .. ' ' .. text(last) .. ' ' .. text(top))
  end
  seam = seq
  redis.call('HSET', KEYS[2], 'epoch', epoch, 'run', run, 'seq', seq, 'at', text(now),
    'seam', seam, 'head', head, 'bytes', '0')
end
local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
local first = oldest and string.match(oldest[1], '^%d+') or text(last + 1)
return {epoch, head, first, seam, text(now)}
`;

class Script {
  readonly #sha: string;

  constructor(readonly source: string) {
    this.#sha = createHash('sha1').update(source).digest('hex');
  }

  async run(
    client: RedisClient,
    keys: readonly string[],
    args: readonly (Buffer | string)[],
  ): Promise<readonly string[]> {
    const rest = [keys.length, ...keys, ...args];
    try {
      return (await client.call('EVALSHA', this.#sha, ...rest)) as string[];
    } catch (error) {
      if (!isReply(error) || wordOf(error) !== 'NOSCRIPT') throw error;
      return (await client.call('EVAL', this.source, ...rest)) as string[];
    }
  }
}

const append = new Script(APPEND);
const claim = new Script(CLAIM);

export interface AppendCall {
  readonly epoch: bigint;
  /** The server that the node believes it writes to. */
  readonly run: string;
  readonly applied: number;
  readonly node: string;
  readonly count: number;
  /** An append of the same node that must be in the log; null if none is under way. */
  readonly before: number | null;
  readonly keepBytes: number;
  readonly batch: Buffer;
}

/** The position; `stale`: claim first; `order`: the append before this one is missing. */
export async function runAppend(
  client: RedisClient,
  { log, state, ids, marks }: RedisKeys,
  call: AppendCall,
): Promise<number | 'order' | 'stale'> {
  const part = Math.ceil(call.keepBytes / PARTS);
  const [word, seq] = await append.run(
    client,
    [log, state, ids, marks],
    [
      ...[String(call.epoch), call.run, String(call.applied), call.node, String(call.count)],
      ...[call.before === null ? '' : String(call.before), String(part), call.batch],
    ],
  );
  return word === 'ok' ? Number(seq) : (word as 'order' | 'stale');
}

export interface ClaimCall {
  readonly run: string;
  /** The highest position that this node knows. */
  readonly known: number;
  /** The epoch that this node knows, for a server that knows none; 0 before the first. */
  readonly believed: bigint;
  /** The epoch to begin, if one must begin. */
  readonly fresh: bigint;
  /** The newest time of an entry that this node has read. */
  readonly atMs: number;
  /** Another server keeps the epoch if nothing is known to be lost. */
  readonly keepsEpoch: boolean;
  /** An epoch that must end, because its log lacks entries that this node has read. */
  readonly disputed: bigint | null;
}

export interface RedisState {
  readonly epoch: bigint;
  /** The position of the newest entry with messages. */
  readonly head: number;
  readonly first: number;
  /** Where the epoch begins: its entries are above. */
  readonly seam: number;
  readonly nowMs: number;
}

export async function runClaim(
  client: RedisClient,
  { log, state }: RedisKeys,
  call: ClaimCall,
): Promise<RedisState> {
  const [epoch = '', head, first, seam, nowMs] = await claim.run(
    client,
    [log, state],
    [
      ...[call.run, String(call.known), String(call.fresh), String(call.atMs)],
      ...[call.keepsEpoch ? '1' : '0', call.disputed === null ? '' : String(call.disputed)],
      String(call.believed),
    ],
  );
  return {
    epoch: BigInt(epoch),
    head: Number(head),
    first: Number(first),
    seam: Number(seam),
    nowMs: Number(nowMs),
  };
}
