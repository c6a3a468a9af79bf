// The parts of a broker, and the connections between them.
import { randomBytes } from 'node:crypto';

import { NameHasher } from '../collections/name-hash.js';
import { Outgoing } from '../ipc/outgoing.js';
import { BrokerLog, nodeNameOf, type BrokerLogParts } from './broker-log.js';
import type { BrokerOptions, BrokerParts } from './broker-options.js';
import { ChannelQueries } from './channel-queries.js';
import { ClientOrders } from './client-orders.js';
import { ClientPublishing, type ClientMessage } from './client-publishing.js';
import { ClientRequests } from './client-requests.js';
import { ClusterQueries } from './cluster-queries.js';
import { Commands } from './commands.js';
import { CutOff } from './cut-off.js';
import { HeapTrim } from './heap-trim.js';
import type { HistoryEngine } from './history-engine.js';
import { History } from './history.js';
import { Interest } from './interest.js';
import { JoinLeave } from './join-leave.js';
import type { LogEvent } from './log-follower.js';
import { LogClock } from './log-clock.js';
import { LoopIteration } from './loop-iteration.js';
import { Losses } from './lost.js';
import { Mailboxes } from './mailboxes.js';
import { MemberOrders } from './member-orders.js';
import { Presence, type MemberEvent } from './presence.js';
import { PublishPath } from './publish-path.js';
import type { PublishOptions, Receipt } from './publishing.js';
import { Recovery } from './recovery.js';
import { RevocationRepeats } from './revocation-repeats.js';
import { Revocations } from './revocations.js';
import { TokenRates } from './token-rates.js';
import { WorkerFrames } from './worker-frames.js';
import { QueuedLines } from './worker-lines.js';

/** The calls of the parts to their broker. */
export interface BrokerHooks {
  readonly publish: (
    channel: string,
    data: Uint8Array | string,
    options?: PublishOptions,
  ) => Promise<Receipt>;
  /** The end of a loop iteration. */
  readonly onFlush: () => void;
  readonly onOverflow: (slot: number) => void;
  readonly onMessage: (message: ClientMessage) => void;
  readonly onPresence: (name: 'subscribe' | 'unsubscribe', event: MemberEvent) => void;
  readonly onRevoke: (user: string) => void;
  readonly onLogEvent: (event: LogEvent) => void;
}

/** The parts that do not know clients: order, history, and the way to the workers. */
interface Core {
  readonly iteration: LoopIteration;
  readonly engine: HistoryEngine;
  readonly interest: Interest;
  readonly outgoing: Outgoing;
  readonly lines: QueuedLines;
  readonly path: PublishPath;
  readonly recovery: Recovery;
  readonly revocations: Revocations;
  readonly presence: Presence;
  readonly members: MemberOrders;
  readonly heapTrim: HeapTrim;
  readonly losses: Losses;
}

/** All parts. */
export interface Wiring extends Core {
  /** Null without a log. */
  readonly log: BrokerLog | null;
  readonly mailboxes: Mailboxes;
  readonly commands: Commands;
  readonly repeats: RevocationRepeats;
  readonly queries: ChannelQueries;
  readonly cluster: ClusterQueries;
  readonly requests: ClientRequests;
  readonly joinLeave: JoinLeave;
  readonly clients: ClientPublishing;
  readonly frames: WorkerFrames;
  readonly cutOff: CutOff;
}

type Times = Pick<BrokerLogParts, 'clock' | 'now' | 'schedule'>;

function memoryEngine(
  { historyBytesMax: bytesMax }: BrokerOptions,
  { epoch = randomBytes(8).readBigUInt64LE(), log }: BrokerParts,
  iteration: LoopIteration,
  hasher: NameHasher,
): History {
  const isShared = log?.isShared ?? false;
  return new History({ epoch, now: () => iteration.nowMs, hasher, bytesMax, isShared });
}

/** In a cluster the times of a revocation are those of the log: the clocks of the nodes may differ. */
function makeRevocations(
  { tokenLeewayS = null }: BrokerOptions,
  { log }: BrokerParts,
  now: () => number,
): Revocations {
  if (log?.isShared !== true) return new Revocations(tokenLeewayS);
  return new Revocations(tokenLeewayS, () => Math.floor(now() / 1000));
}

function makeCore(
  options: BrokerOptions,
  parts: BrokerParts,
  { clock, schedule }: Times,
  hooks: BrokerHooks,
): Core {
  const { slots } = options;
  const now = (): number => clock.nowMs;
  const iteration = new LoopIteration({ now, schedule, onEnd: hooks.onFlush });
  const hasher = new NameHasher();
  const engine = parts.engine ?? memoryEngine(options, parts, iteration, hasher);
  const interest = new Interest({ slots, hasher });
  const outgoing = new Outgoing(hooks.onOverflow);
  const lines = new QueuedLines(outgoing, iteration);
  const path = new PublishPath(options, { engine, interest, outgoing, iteration });
  const hasPresence = (channel: string): boolean => path.namespaces.of(channel).hasPresence;
  const presence = new Presence(lines, hasPresence, nodeNameOf(parts.log));
  return {
    ...{ iteration, engine, interest, outgoing, lines, path, presence },
    recovery: new Recovery({ engine, outgoing, lines }),
    revocations: makeRevocations(options, parts, now),
    members: new MemberOrders(lines, presence),
    heapTrim: new HeapTrim(parts.trimHeap ?? ((): void => undefined)),
    losses: new Losses({
      ...{ engine, lines, path },
      slots: () => outgoing.slots(),
    }),
  };
}

function makeMailboxes(
  { lines }: Core,
  clock: LogClock,
  { messageBytesMax, mailboxTimeMs: timeMs }: BrokerOptions,
  { log: setup }: BrokerParts,
  log: () => BrokerLog | null,
): Mailboxes {
  return new Mailboxes(lines, () => clock.nowMs, {
    ...{ messageBytesMax, timeMs },
    log: setup && {
      ...{ node: setup.node, isShared: setup.isShared },
      checkRoom: (bytes) => log()?.checkRoom(bytes),
      write: async (kind, body) => log()?.write(kind, body),
    },
  });
}

function makeLog(
  core: Core,
  { log: setup, connections = (): number => 0 }: BrokerParts,
  times: Times,
  mailboxes: Mailboxes,
  late: () => Pick<Wiring, 'cluster' | 'commands' | 'repeats'>,
  onEvent: (event: LogEvent) => void,
): BrokerLog | null {
  if (setup === undefined) return null;
  const { path, engine, losses } = core;
  return new BrokerLog(setup, {
    ...times,
    ...{ path, connections, mailboxes, onEvent },
    onOrder: (order, atMs) => late().commands.apply(order, atMs),
    onQuestion: (question) => late().cluster.answer(question),
    onLost: (gap, epoch) => {
      mailboxes.onLost(gap !== null);
      if (gap !== null) late().repeats.missed();
      if (epoch !== null) late().repeats.lost();
      const { after, to } = gap ?? { after: engine.head, to: engine.head };
      losses.report({ after, to, epoch: epoch ?? undefined });
    },
  });
}

function makeCommands(
  core: Core,
  { log, cluster, repeats }: Pick<Wiring, 'cluster' | 'log' | 'repeats'>,
  { onRevoke }: BrokerHooks,
): Commands {
  const { lines, interest, members, outgoing, revocations } = core;
  const slots = (): readonly number[] => outgoing.slots();
  const orders = new ClientOrders({
    ...{ lines, interest, members, slots },
    checkHasUsers: (call) => {
      revocations.checkHasUsers(call);
    },
  });
  return new Commands({ orders, revocations, repeats, lines, slots, log, cluster, onRevoke });
}

function makeRepeats(
  { revocations }: Core,
  { clock }: Times,
  log: BrokerLog | null,
): RevocationRepeats {
  if (log === null) return new RevocationRepeats(null);
  return new RevocationRepeats({
    log,
    now: () => clock.nowMs,
    find: (key) => revocations.find(key),
  });
}

function makeCutOff(
  { lines, outgoing }: Core,
  { closesCutOff = false }: BrokerOptions,
  now: () => number,
  log: BrokerLog | null,
  onEvent: (event: LogEvent) => void,
): CutOff {
  if (!closesCutOff || log === null) return new CutOff(null);
  return new CutOff({
    ...{ now, lines },
    tickAgeMs: () => log.tickAgeMs,
    slots: () => outgoing.slots(),
    onChange: (isOn) => {
      onEvent({ kind: 'cut-off', isOn });
    },
  });
}

function makeJoinLeave({ interest, path }: Core, log: BrokerLog | null): JoinLeave {
  return new JoinLeave({
    subscribers: (channel) => interest.subscribers(channel),
    announce: async (channel, data, event) => {
      if (log === null) path.announce(channel, data, event);
      else await log.announce(channel, data, event);
    },
  });
}

function makeFrames(
  parts: Omit<Wiring, 'cutOff' | 'frames'>,
  { onMessage, onPresence, onOverflow }: BrokerHooks,
): WorkerFrames {
  return new WorkerFrames({
    ...parts,
    ...{ onMessage, onPresence, onOverflow },
    hasJoinLeave: (channel) => parts.path.namespaces.of(channel).hasJoinLeave,
  });
}

/** Makes the parts of a broker. */
export function wire(options: BrokerOptions, parts: BrokerParts, hooks: BrokerHooks): Wiring {
  const now = parts.now ?? ((): number => performance.now());
  const times = { clock: new LogClock(now), now, schedule: parts.schedule ?? setImmediate };
  const core = makeCore(options, parts, times, hooks);
  const { lines, iteration } = core;
  const mailboxes = makeMailboxes(core, times.clock, options, parts, () => log);
  const late = (): Pick<Wiring, 'cluster' | 'commands' | 'repeats'> => {
    return { commands, cluster, repeats };
  };
  const log = makeLog(core, parts, times, mailboxes, late, hooks.onLogEvent);
  const queries = new ChannelQueries(core);
  const cluster = new ClusterQueries({ ...core, log, queries });
  const repeats = makeRepeats(core, times, log);
  const commands = makeCommands(core, { log, cluster, repeats }, hooks);
  const requests = new ClientRequests(lines, {
    presence: (channel) => cluster.gatherPresence(channel, undefined, true),
    history: (selection) => queries.read(selection),
    onRoom: () => {
      iteration.scheduleFlush();
    },
  });
  const rates = new TokenRates(options.publishesPerToken ?? 0, parts.now);
  const clients = new ClientPublishing(lines, hooks.publish, rates);
  const joinLeave = makeJoinLeave(core, log);
  const queryParts = { queries, cluster, requests };
  const others = { ...core, log, mailboxes, commands, repeats, ...queryParts, clients, joinLeave };
  const cutOff = makeCutOff(core, options, now, log, hooks.onLogEvent);
  return { ...others, cutOff, frames: makeFrames(others, hooks) };
}
