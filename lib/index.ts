// The public names of the package.
import { criticalFindings } from './doctor/doctor.js';
import { Server, type ServerOptions } from './server/server.js';

export { createToken, type TokenClaims } from './access/issue-token.js';
export type { TokenGrants } from './base/token-grants.js';
export type {
  AllowAnswer,
  Authorize,
  AuthorizeAction,
  AuthorizeAnswer,
  AuthorizeRequest,
  DenyAnswer,
} from './base/authorize.js';
export { signUrl, type SignUrlOptions } from './access/sign-url.js';
export { MegacometError, type ErrorCode } from './base/errors.js';
export type { Readiness } from './api/admin.js';
export type { ClientMessage } from './broker/client-publishing.js';
export type { BroadcastResult } from './broker/broadcast.js';
export type { DisconnectTarget } from './broker/client-orders.js';
export type { ChannelHistoryPage, HistoryMessage, HistoryQuery } from './broker/history-reader.js';
export type { PresenceMember } from './broker/members.js';
export type { ChannelPresence, MemberEvent } from './broker/presence.js';
export type {
  ChannelInfo,
  ChannelPage,
  ChannelQuery,
  PublishOptions,
  Receipt,
} from './broker/publishing.js';
export type { Revocation } from './broker/revocations.js';
export type { HistoryLimits } from './broker/history-limits.js';
export type { NamespaceOptions, Namespaces } from './options/server-options.js';
export type { SlowPolicy } from './broker/slow-policy.js';
export type { Capacity } from './capacity/capacity.js';
export type { Headroom } from './stats/headroom.js';
export type { MetricValue } from './system/kernel.js';
export type { Logger } from './base/logger.js';
export type { WorkerEvent } from './manager/supervisor.js';
export type {
  Adjustments,
  CloseOptions,
  CloseReport,
  Server,
  ServerEvents,
  ServerSummary,
  ServerOptions,
} from './server/server.js';
export type { Health } from './systemd/service.js';
export type { Count, Stats, WorkerStats } from './stats/stats.js';
export type { LogStatus, NodeStatus } from './stats/log-status.js';

/**
 * Creates a server; {@link Server.listen} starts it.
 *
 * @throws MegacometError `ERR_OPTION_INVALID` or `ERR_OPTION_UNKNOWN`, naming option, value, rule.
 */
export function createServer(options: ServerOptions = {}): Server {
  const host = {
    dropsOwnIdentity: false,
    generatesToken: false,
    sockets: [],
    findLimits: criticalFindings,
  };
  return new Server(options, host);
}
