// The metrics of the manager's parts, by their field of the stats.
import { Authorization } from '../access/authorization.js';
import { KeyFetches } from '../access/remote-keys.js';
import { BrokerLog } from '../broker/broker-log.js';
import { Broker } from '../broker/broker.js';
import { Mailboxes } from '../broker/mailboxes.js';
import type { MetricTables } from '../stats/metric-list.js';
import { AdminConnections } from './admin-connections.js';
import { AdminGate } from './admin-gate.js';
import { Ingest } from './ingest.js';
import { PublishApi } from './publish-api.js';

export const METRIC_TABLES: MetricTables = {
  messages: { ...Broker.METRICS, ...PublishApi.METRICS, ...KeyFetches.METRICS },
  mailboxes: Mailboxes.METRICS,
  ingest: Ingest.METRICS,
  admin: { ...AdminGate.METRICS, ...AdminConnections.METRICS },
  hook: Authorization.METRICS,
  log: BrokerLog.METRICS,
  cluster: BrokerLog.CLUSTER_METRICS,
};
