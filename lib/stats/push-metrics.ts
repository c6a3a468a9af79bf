// Names and advice of the figures of pushing, for /metrics. The figures are Push.counters.
/** Each figure of PushCounters with its name and its help; those in `_total` only grow. */
export const PUSH_FIGURES: Readonly<Record<string, readonly [name: string, help: string]>> = {
  publishedTotal: ['published_total', 'Messages that were given a number.'],
  deliveredTotal: [
    'reached_total',
    'Subscribers that were known for the published messages; what was really sent is in ' +
      'delivered_total of the workers.',
  ],
  busyTotal: ['busy_total', 'Publishes refused since a worker could not follow: publish slower.'],
  duplicatesTotal: ['duplicates_total', 'Publishes answered from their idempotency key.'],
  keysEvictedTotal: ['keys_evicted_total', 'Idempotency keys given up early, for lack of room.'],
  clientMessagesTotal: ['client_messages_total', 'Messages that clients published.'],
  clientRejectedTotal: ['client_rejected_total', 'Messages of clients that were refused.'],
  clientUntoldTotal: [
    'client_untold_total',
    'Refusals of which the client was not told, since its worker had too much waiting.',
  ],
  pagesTotal: ['pages_total', 'Answers to clients that came back with a cursor.'],
  pageBytesTotal: ['page_bytes_total', 'Bytes of missed messages in these answers.'],
  pagesLostTotal: [
    'pages_lost_total',
    'Answers that had to say that messages are gone: keep more, see --history-age and ' +
      '--history-count.',
  ],
  questions: ['questions', 'Clients that wait for the messages that they missed, now.'],
  subscribedChannels: ['subscribed_channels', 'Channels with subscribers.'],
  patterns: ['patterns', 'Patterns with subscribers, such as news/*.'],
  takers: ['takers', 'Workers that get every message, since the table of channels is full.'],
  interestBytes: ['interest_bytes', 'Memory of the table of who subscribes where.'],
  overflowsTotal: ['overflows_total', 'Workers given up, since they did not read their orders.'],
  channels: ['history_channels', 'Channels with messages in the history.'],
  messages: ['history_messages', 'Messages in the history.'],
  bytes: ['history_bytes', 'Bytes of these messages; the limit is --history-bytes.'],
  memoryBytes: ['history_memory_bytes', 'All memory of the history, its tables included.'],
  trimmedTotal: ['history_trimmed_total', "Messages gone for their channel's limits."],
  expiredTotal: ['history_expired_total', 'Messages gone for their age.'],
  evictedTotal: [
    'history_evicted_total',
    'Messages gone early, to keep within --history-bytes: clients that come back may miss them.',
  ],
  httpRequestsTotal: ['http_requests_total', 'Requests to /publish, /channels and /kick.'],
  httpUnauthorizedTotal: ['http_unauthorized_total', 'Requests without the admin token.'],
  httpMessagesTotal: ['http_messages_total', 'Messages published over HTTP.'],
  httpRejectedTotal: ['http_rejected_total', 'Messages over HTTP that were refused.'],
};
