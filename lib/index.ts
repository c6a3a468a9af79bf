// The public names of the package. Level 8.
export { MegacometError, type ErrorCode } from './errors.js';
export type { Readiness } from './admin.js';
export type {
  ChannelInfo,
  ChannelPage,
  ChannelPresence,
  ChannelQuery,
  ClientMessage,
  MemberEvent,
  PublishOptions,
  Receipt,
} from './broker.js';
export type { Capacity } from './capacity.js';
export type { HistoryLimits, IngestCounters, MailboxCounters, SlowPolicy } from './comet.js';
export type { Headroom } from './headroom.js';
export type { Figure } from './kernel.js';
export type { Logger } from './logger.js';
export type { WorkerEvent } from './manager.js';
export {
  createServer,
  type Adjustments,
  type CloseOptions,
  type CloseReport,
  type Server,
  type ServerEvents,
  type ServerOptions,
} from './server.js';
export type { Health } from './service.js';
export type { Count, Stats, WorkerStats } from './stats.js';
