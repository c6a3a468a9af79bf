// The metrics that every log has.
import { counter } from '../base/metric.js';
import type { LogCounters } from './log.js';

export const LOG_METRICS = {
  logAppendsTotal: counter(
    'log_appends_total',
    'Entries that this node appended: one for everything that it published in one loop iteration.',
    ({ appends }: LogCounters) => appends,
  ),
  logAppendBytesTotal: counter(
    'log_append_bytes_total',
    'Bytes of the appended entries.',
    ({ appendBytes }: LogCounters) => appendBytes,
  ),
  logAppendErrorsTotal: counter(
    'log_append_errors_total',
    'Appends that failed. Their publishers received 503 or ERR_LOG.',
    ({ appendErrors }: LogCounters) => appendErrors,
  ),
  logAppendRetriesTotal: counter(
    'log_append_retries_total',
    'Appends that were sent again, because the answer was lost. The log keeps one entry.',
    ({ appendRetries }: LogCounters) => appendRetries,
  ),
  logReconnectsTotal: counter(
    'log_reconnects_total',
    'Times that the log was lost and found again.',
    ({ reconnects }: LogCounters) => reconnects,
  ),
  logBreaksTotal: counter(
    'log_breaks_total',
    'Gaps and changes of the epoch that the log reported.',
    ({ breaks }: LogCounters) => breaks,
  ),
};
