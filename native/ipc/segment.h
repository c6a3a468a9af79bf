// The shared stats: the list of counters, the block of a worker, and the manager's view of all.
// Each worker has a memfd of its own, which no other worker can write. The manager keeps the values
// that it believes in its own memory and checks every value that it reads, so a worker in hostile
// hands can only end itself. Totals belong to the slot and outlive the worker that counted them.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/bounds.h"
#include "ipc/limit_table.h"
#include "ipc/shared_page.h"

namespace megacomet {

enum class CounterKind : uint8_t { kTotal, kGauge };

// Every counter once: identifier, name, kind, help. The help says how to react to the value.
// A failure total is followed by one counter per cause.
// clang-format off
#define MC_COUNTERS(X)                                                                            \
  X(kConnections, "connections", kGauge, "Connections open now.")                                 \
  X(kConnectionsMax, "connections_max", kGauge,                                                   \
    "Connections that this worker may hold: its share of descriptors or of --max-connections.")   \
  X(kAcceptedTotal, "accepted_total", kTotal, "Connections accepted and kept.")                   \
  X(kAcceptFailedTotal, "accept_failed_total", kTotal,                                            \
    "Calls of accept4 that failed; the causes follow. Steady growth means that a limit was met.") \
  X(kAcceptFailedEmfileTotal, "accept_failed_emfile_total", kTotal,                               \
    "accept4 answered EMFILE: raise LimitNOFILE, or fs.nr_open above it.")                        \
  X(kAcceptFailedEnfileTotal, "accept_failed_enfile_total", kTotal,                               \
    "accept4 answered ENFILE: the whole machine is out of files; raise fs.file-max.")             \
  X(kAcceptFailedEnobufsTotal, "accept_failed_enobufs_total", kTotal,                             \
    "accept4 answered ENOBUFS: socket memory is short; look at tcp_mem and memory cgroups.")      \
  X(kAcceptFailedEnomemTotal, "accept_failed_enomem_total", kTotal,                               \
    "accept4 answered ENOMEM: kernel memory is short; look at MemAvailable and memory.max.")      \
  X(kAcceptFailedTransientTotal, "accept_failed_transient_total", kTotal,                         \
    "accept4 returned a network error of the peer. Nothing to do unless it dominates.")           \
  X(kAcceptFailedOtherTotal, "accept_failed_other_total", kTotal,                                 \
    "accept4 failed for another reason, which the log names.")                                    \
  X(kAcceptPausedTotal, "accept_paused_total", kTotal,                                            \
    "Pauses of a listener that lacked descriptors, memory, capacity or accept tokens.")           \
  X(kRejectedTotal, "rejected_total", kTotal,                                                     \
    "Connections rejected before they were served; the causes follow.")                           \
  X(kRejectedFullTotal, "rejected_full_total", kTotal,                                            \
    "Rejected because --max-connections were open on the whole server.")                          \
  X(kRejectedDrainTotal, "rejected_drain_total", kTotal,                                          \
    "Rejected during a drain; each client received the time of its return.")                      \
  X(kRejectedCutOffTotal, "rejected_cut_off_total", kTotal,                                       \
    "Rejected because --engine-down is close and the server had lost its engine for 15 s.")       \
  X(kRejectedDescriptorsTotal, "rejected_descriptors_total", kTotal,                              \
    "Rejected with the spare descriptor because the worker had none left.")                       \
  X(kRejectedLimitedTotal, "rejected_limited_total", kTotal,                                      \
    "Rejected because of a limit of its address; see limited_connections_total.")                 \
  X(kRejectedUntrustedTotal, "rejected_untrusted_total", kTotal,                                  \
    "Closed because --proxy-protocol is on and --trusted-proxies does not have the peer.")        \
  X(kClosedTotal, "closed_total", kTotal, "Connections closed; the causes follow.")               \
  X(kClosedPeerTotal, "closed_peer_total", kTotal, "Closed after the peer ended its side.")       \
  X(kClosedResetTotal, "closed_reset_total", kTotal,                                              \
    "Closed after a read or write failed, most often because the peer reset the connection.")     \
  X(kClosedIdleTotal, "closed_idle_total", kTotal,                                                \
    "Closed because no byte moved for --idle-timeout seconds.")                                   \
  X(kClosedDrainTotal, "closed_drain_total", kTotal, "Closed by the worker during a drain.")      \
  X(kClosedCutOffTotal, "closed_cut_off_total", kTotal,                                           \
    "Closed because --engine-down is close and the server had lost its engine for 15 s.")         \
  X(kClosedWatchFailedTotal, "closed_watch_failed_total", kTotal,                                 \
    "Closed because epoll_ctl failed: raise fs.epoll.max_user_watches, or add memory.")           \
  X(kClosedDoneTotal, "closed_done_total", kTotal,                                                \
    "Closed by the worker after the last response of the connection.")                            \
  X(kClosedRejectedTotal, "closed_rejected_total", kTotal,                                        \
    "Closed because the peer broke its protocol or a limit, or the input budget was full.")       \
  X(kClosedSlowTotal, "closed_slow_total", kTotal,                                                \
    "Closed because the peer did not read its queued bytes: a slow consumer.")                    \
  X(kClosedDeadTotal, "closed_dead_total", kTotal,                                                \
    "Closed because the peer did not answer a heartbeat.")                                        \
  X(kClosedKickedTotal, "closed_kicked_total", kTotal,                                            \
    "Closed by an operator.")                                                                     \
  X(kClosedExpiredTotal, "closed_expired_total", kTotal,                                          \
    "Closed because the client's token expired or was revoked.")                                  \
  X(kClosedCertificateTotal, "closed_certificate_total", kTotal,                                  \
    "Closed because the subject of a client's certificate is revoked, empty or over 200 bytes.")     \
  X(kClosedTlsTotal, "closed_tls_total", kTotal,                                                  \
    "Closed because a TLS handshake failed or was late, or a record broke a rule.")               \
  X(kTlsHandshakesTotal, "tls_handshakes_total", kTotal, "TLS handshakes that were completed.")   \
  X(kTlsResumedTotal, "tls_resumed_total", kTotal,                                                \
    "TLS handshakes that resumed a session by its ticket; tls_handshakes_total counts them too.") \
  X(kTlsHandshakesFailedTotal, "tls_handshakes_failed_total", kTotal,                             \
    "TLS handshakes that failed: no common version or suite, or a bad peer.")                     \
  X(kTlsHandshakes, "tls_handshakes", kGauge,                                                     \
    "TLS handshakes under way; at 512 in a worker further peers wait.")                           \
  X(kTlsHandshakesDelayedTotal, "tls_handshakes_delayed_total", kTotal,                           \
    "TLS handshakes that waited because their worker had 512; those not done in 10 s are closed.") \
  X(kTls12Connections, "tls12_connections", kGauge,                                               \
    "Connections with TLS 1.2, which cost 14 to 29 kB each; at --tls12-connections no more.")     \
  X(kTls12RejectedTotal, "tls12_rejected_total", kTotal,                                          \
    "TLS handshakes of clients without TLS 1.3 beyond --tls12-connections, or with old versions.") \
  X(kTlsRecordsRejectedTotal, "tls_records_rejected_total", kTotal,                               \
    "TLS records that were altered or broke a rule; each ended its connection.")                  \
  X(kClosedHeadTimeoutTotal, "closed_head_timeout_total", kTotal,                                 \
    "Closed because a request was not complete in time. Many are slow clients, or an attack.")    \
  X(kClosedMessageTimeoutTotal, "closed_message_timeout_total", kTotal,                           \
    "WebSockets closed because a message took --handshake-timeout seconds, or 2 s beyond 8 KiB.") \
  X(kClosedProxyHeaderTotal, "closed_proxy_header_total", kTotal,                                 \
    "Closed because the PROXY header was missing, malformed or late. Look at the balancer.")      \
  X(kClosedLimitedTotal, "closed_limited_total", kTotal,                                          \
    "Closed because the client of a PROXY header exceeded a limit of its address.")               \
  X(kClosedByCrashTotal, "closed_by_crash_total", kTotal,                                         \
    "Lost when a worker died. Look for the crash in the log.")                                    \
  X(kBytesReceivedTotal, "bytes_received_total", kTotal, "Payload bytes read from peers.")        \
  X(kBytesSentTotal, "bytes_sent_total", kTotal, "Payload bytes that the kernel accepted.")       \
  X(kEchoedTotal, "echoed_total", kTotal, "Reads that were answered by the echo protocol.")       \
  X(kShortWritesTotal, "short_writes_total", kTotal,                                              \
    "Writes that the kernel accepted only in part: the peer reads too slowly.")                   \
  X(kSendQueueConnections, "send_queue_connections", kGauge,                                      \
    "Connections with bytes waiting for a slow peer.")                                            \
  X(kSendQueueFullTotal, "send_queue_full_total", kTotal,                                         \
    "Clients with the most queued bytes, closed because the worker's send queues were full.")     \
  X(kSendQueueBytes, "send_queue_bytes", kGauge, "Bytes queued in user memory for slow peers.")   \
  X(kInputBudgetFullTotal, "input_budget_full_total", kTotal,                                     \
    "Clients rejected because incomplete requests filled the worker's input budget.")             \
  X(kInputBudgetBytes, "input_budget_bytes", kGauge,                                              \
    "Bytes of requests and messages that are not complete.")                                      \
  X(kControlFrameLimitTotal, "control_frame_limit_total", kTotal,                                 \
    "WebSockets closed because they sent too many pings or pongs at once. Find these clients.")   \
  X(kWaitingCommandsLimitTotal, "waiting_commands_limit_total", kTotal,                           \
    "WebSockets closed because 64 commands or too many bytes waited. Find these clients.")        \
  X(kMessagesTooBigTotal, "messages_too_big_total", kTotal,                                       \
    "WebSockets closed with 1009, because a message was longer than --message-bytes.")            \
  X(kConnectTimeoutsTotal, "connect_timeouts_total", kTotal,                                      \
    "WebSockets closed with 3000, because the client did not connect in --handshake-timeout.")    \
  X(kSessions, "sessions", kGauge,                                                                \
    "Connections with a session: busy, slow, or on several channels. Idle ones have none.")       \
  X(kSubscriptions, "subscriptions", kGauge,                                                      \
    "Subscriptions of connections to channels.")                                                  \
  X(kChannels, "channels", kGauge,                                                                \
    "Channels with a subscriber on this worker now, or within --channel-retention seconds.")      \
  X(kRequestsTotal, "requests_total", kTotal,                                                     \
    "Complete HTTP requests.")                                                                    \
  X(kBadRequestsTotal, "bad_requests_total", kTotal,                                              \
    "HTTP requests rejected; the causes follow. The log has an example once a minute.")           \
  X(kBadRequestsOriginTotal, "bad_requests_origin_total", kTotal,                                 \
    "Rejected with 403 because --origin does not list the origin of the page.")                   \
  X(kBadRequestsTokenTotal, "bad_requests_token_total", kTotal,                                   \
    "Rejected with 401 or 403: a missing token, a rejected one, or no grant.")         \
  X(kBadRequestsPathTotal, "bad_requests_path_total", kTotal,                                     \
    "Rejected with 404: a client with a wrong URL, or a scan of the port.")                       \
  X(kBadRequestsSizeTotal, "bad_requests_size_total", kTotal,                                     \
    "Rejected with 413, 414 or 431: too long, or too many channels. The response has the limit.") \
  X(kBadRequestsLimitedTotal, "bad_requests_limited_total", kTotal,                               \
    "Rejected with 429 because of a limit of an address or user; see limited_connections_total.") \
  X(kBadRequestsOtherTotal, "bad_requests_other_total", kTotal,                                   \
    "Rejected for another fault, which the response names.")                                      \
  X(kTokensAcceptedTotal, "tokens_accepted_total", kTotal,                                        \
    "Tokens of clients that were verified.")                                                      \
  X(kTokensRejectedTotal, "tokens_rejected_total", kTotal,                                          \
    "Tokens of clients that were rejected; the causes follow.")                                    \
  X(kTokensRejectedExpiredTotal, "tokens_rejected_expired_total", kTotal,                           \
    "Rejected because they had expired: clients should ask for a new one earlier.")        \
  X(kTokensRejectedRevokedTotal, "tokens_rejected_revoked_total", kTotal,                         \
    "Rejected because they were revoked: the client needs a new one.")                            \
  X(kTokensRejectedKeyTotal, "tokens_rejected_key_total", kTotal,                                   \
    "Rejected because of the signature, the key or the algorithm: compare --token-key.")           \
  X(kTokensRejectedKeyPendingTotal, "tokens_rejected_key_pending_total", kTotal,                    \
    "Answered with 503 because their key was not known yet: compare jwks_fetch_failures_total.")    \
  X(kTokensRejectedOtherTotal, "tokens_rejected_other_total", kTotal,                               \
    "Rejected for another fault, which the response names, such as no exp.")                       \
  X(kSignedUrlsAcceptedTotal, "signed_urls_accepted_total", kTotal,                                 \
    "Requests with a signed URL that was verified.")                                                \
  X(kSignedUrlsRejectedTotal, "signed_urls_rejected_total", kTotal,                                 \
    "Requests with a signed URL that was expired or not validly signed: compare --sign-key.")       \
  X(kAccessDeniedTotal, "access_denied_total", kTotal,                                            \
    "Requests and commands that neither a grant nor --public allows.")                            \
  X(kHookRequestsTotal, "hook_requests_total", kTotal,                                          \
    "Clients without a token that waited for the application's decision. Tokens never do.")       \
  X(kHookWaitingFullTotal, "hook_waiting_full_total", kTotal,                                     \
    "Clients rejected because too many of this worker waited for a decision.")                    \
  X(kHookUnansweredTotal, "hook_unanswered_total", kTotal,                                        \
    "Clients rejected because the manager sent no decision in time: it hangs.")                   \
  X(kForeignOriginsTotal, "foreign_origins_total", kTotal,                                        \
    "Requests of pages whose origin --origin does not list. Browsers hide the responses.")        \
  X(kForeignProtocolTotal, "foreign_protocol_total", kTotal,                                      \
    "Peers that spoke another protocol, such as TLS. Look for a wrong URL or port.")              \
  X(kTlsAtPlainTotal, "tls_at_plain_total", kTotal,                                               \
    "Of those, TLS at an address without it. Look for https or wss in a URL, or add --tls-cert.") \
  X(kPlainAtTlsTotal, "plain_at_tls_total", kTotal,                                               \
    "Of those, HTTP at an address with TLS, answered with 400. Look for http or ws in a URL.")    \
  X(kPresenceRequestsTotal, "presence_requests_total", kTotal,                                    \
    "Presence commands of WebSocket clients that their grants allow.")                            \
  X(kHistoryRequestsTotal, "history_requests_total", kTotal,                                      \
    "History commands of WebSocket clients that their grants allow.")                             \
  X(kClientRequestsRejectedTotal, "client_requests_rejected_total", kTotal,                       \
    "Of both, those beyond the limits for unanswered ones: 4 of a client, 64 of a worker.")       \
  X(kClientRequestsLateTotal, "client_requests_late_total", kTotal,                               \
    "Of both, those that the manager did not answer in 10 seconds: it is overloaded.")            \
  X(kChannelChangesRejectedTotal, "channel_changes_rejected_total", kTotal,                       \
    "Clients that did not get the channels of POST /subscribe, because they have too many.")      \
  X(kClientPublishesLimitedTotal, "client_publishes_limited_total", kTotal,                       \
    "Messages of clients over --client-publish-rate. Find the client, or raise the rate.")        \
  X(kAllClientsPublishesLimitedTotal, "all_clients_publishes_limited_total", kTotal,              \
    "Messages of clients that are together over --all-clients-publish-rate.")                     \
  X(kLimitedConnectionsTotal, "limited_connections_total", kTotal,                                \
    "Clients over --connections-per-address. The log has an address once a minute.")              \
  X(kLimitedHandshakesTotal, "limited_handshakes_total", kTotal,                                  \
    "Clients over --handshakes-per-address. The log has an address once a minute.")               \
  X(kLimitedUsersTotal, "limited_users_total", kTotal,                                            \
    "Clients over --connections-per-user.")                                                       \
  X(kLimitedUserPublishesTotal, "limited_user_publishes_total", kTotal,                           \
    "Messages of clients over --publishes-per-user.")                                             \
  X(kLimitedSubscriptionsTotal, "limited_subscriptions_total", kTotal,                            \
    "Subscribe commands over --channels-per-connection, or over 32 patterns.")                    \
  X(kLimitedCommandsTotal, "limited_commands_total", kTotal,                                      \
    "Commands, unsent messages and hook requests over --commands-per-connection.")                \
  X(kLimitTableFullTotal, "limit_table_full_total", kTotal,                                       \
    "Addresses and users that are not limited, because the table is full or not believed.")       \
  X(kMessagesTotal, "messages_total", kTotal,                                                     \
    "Messages that the manager sent to this worker.")                                             \
  X(kEventsDroppedTotal, "events_dropped_total", kTotal,                                          \
    "Presence events dropped because the manager did not read.")                                  \
  X(kDeliveredTotal, "delivered_total", kTotal,                                                   \
    "Messages delivered to subscribers when they were published.")                                \
  X(kFanoutSlicesDelayedTotal, "fanout_slices_delayed_total", kTotal,                             \
    "Fan-out slices delayed because new connections waited for more than 0.1 s.")                 \
  X(kReplayedTotal, "replayed_total", kTotal,                                                     \
    "Missed messages delivered to subscribers after they reconnected.")                           \
  X(kReplayRequestsTotal, "replay_requests_total", kTotal,                                        \
    "Requests to the manager for the messages that a subscriber missed.")                         \
  X(kGapsTotal, "gaps_total", kTotal,                                                             \
    "Gap notices sent because missed messages are gone: raise the history limits.")               \
  X(kLossNoticesTotal, "loss_notices_total", kTotal,                                              \
    "Subscribers notified that messages were lost while they were connected.")                    \
  X(kDroppedOldestTotal, "dropped_oldest_total", kTotal,                                          \
    "Messages dropped for slow consumers by the policy drop-oldest.")                             \
  X(kDroppedReplacedTotal, "dropped_replaced_total", kTotal,                                      \
    "Messages dropped for slow consumers by the policy latest-only.")                             \
  X(kHeartbeatsTotal, "heartbeats_total", kTotal,                                                 \
    "Heartbeats sent to idle subscribers.")                                                       \
  X(kListenersPaused, "listeners_paused", kGauge,                                                 \
    "Listeners paused now. If it stays above 0, clients wait: find the cause in the log.")        \
  X(kLogDroppedTotal, "log_dropped_total", kTotal,                                                \
    "Log lines dropped because the manager did not read.")                                        \
  X(kLoopLagMaxUs, "loop_lag_max_us", kGauge,                                                     \
    "Longest loop iteration of the last 10 to 20 seconds, in microseconds. Above 100,000 "        \
    "clients notice: the worker is overloaded or lacks CPU time.")
// clang-format on

enum class Counter : uint32_t {
#define X(identifier, name, kind, help) identifier,
  MC_COUNTERS(X)
#undef X
      kCount,
};

constexpr size_t kCounterCount = static_cast<size_t>(Counter::kCount);

struct CounterInfo {
  const char* name;
  CounterKind kind;
  const char* help;
};

/// The descriptions, in the order of Counter.
const CounterInfo* counter_infos();

/// Buckets of the loop-lag histogram: bucket b counts loop iterations of less than 2^b
/// microseconds, the last bucket all longer ones. 2^24 µs are 17 s, past the heartbeat limit.
constexpr size_t kLagBuckets = 25;
constexpr size_t kLagWords = kLagBuckets + 1;

/// The values of one worker. It is the only writer, except of the last two fields.
struct alignas(kSharedPageBytes) Block {
  /// CLOCK_MONOTONIC nanoseconds of the serving loop's last heartbeat. The worker writes the time
  /// itself, so a manager that was stopped does not take a healthy worker for a hung one.
  std::atomic<uint64_t> heartbeat_ns;
  std::atomic<uint64_t> counters[kCounterCount];
  /// The buckets, and the sum of all iterations in microseconds.
  std::atomic<uint64_t> lag[kLagWords];
  /// Connections that the worker may hold. The manager writes it; see Segment::grant().
  alignas(64) std::atomic<uint32_t> allowance;
  /// A worker rejects a block with another hash.
  uint64_t layout_hash;
};
static_assert(sizeof(Block) == kSharedPageBytes, "one page per worker");

/// 64-bit words of a block that a copy contains: heartbeat, counters, lag and its sum.
constexpr size_t kBlockWords = 1 + kCounterCount + kLagWords;

/// When the lease of each fan-out slot ends, on the monotonic clock; 0 is a free slot. Every worker
/// writes here and the manager never reads it; slice_limiter.h has the rule of belief.
struct SliceLeases {
  std::atomic<uint64_t> ends_ns[bounds::kSliceSlotsMax];
};
static_assert(sizeof(SliceLeases) <= kSharedPageBytes, "one page");

/// What all workers write. The kernel gives memory only to the pages that are used. Of the two sets
/// of tables one is in use: the manager clears the other, and the workers count again in it.
struct WorkersMemory {
  alignas(kSharedPageBytes) SliceLeases leases;
  alignas(kSharedPageBytes) LimitTables limits[2];
};

/// A hash of every counter's name, kind and order.
uint64_t layout_hash();

/// A value of a block that no honest worker writes.
struct Fault {
  uint32_t slot;
  const char* field;
  uint64_t value;
};

/// The manager's view of the blocks of all workers.
class Segment {
 public:
  Segment() = default;
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;
  ~Segment();

  /// False with errno on failure.
  [[nodiscard]] bool create(uint32_t slots);

  [[nodiscard]] uint32_t slots() const { return static_cast<uint32_t>(slots_.size()); }
  /// The descriptor of the WorkersMemory, which every worker inherits.
  [[nodiscard]] int shared_fd() const { return shared_fd_; }
  /// Makes one set of limit tables zero again. False with errno on failure.
  [[nodiscard]] bool clear_limits(uint32_t set);

  /// Makes the block of the slot's next worker, which continues the totals of the slot. Returns the
  /// descriptor that the worker inherits, open until end_renewal(), or -1 with errno.
  ///
  /// A new memfd for each worker: a process that a dead worker left behind writes the old one.
  [[nodiscard]] int renew(uint32_t slot);
  void end_renewal(uint32_t slot);

  /// Copies the believed values, kBlockWords words per slot, to `target`. A block with a fault is
  /// not read again until it is renewed; its last believed values stay.
  void copy(uint64_t* target);

  /// The faults that copy() found after the last call.
  [[nodiscard]] std::vector<Fault> take_faults();

  /// Sets the connections that a worker may hold. Returns the number that holds from now on: not
  /// less than the worker has open, and never more than it had before if that is above `allowance`.
  ///
  /// This function stores the allowance and then reads the count; Admission::enter() stores the
  /// count and then reads the allowance. All four are sequentially consistent, so one of the two
  /// sees the other, and the allowances of all workers are a limit that holds at every moment.
  uint32_t grant(uint32_t slot, uint32_t allowance);

  /// Reconciles the slot of a dead worker and unmaps its block: its connections count as closed by
  /// the crash and its gauges become zero. Totals never fall, and accepted - closed stays the open
  /// connections.
  void retire(uint32_t slot);

 private:
  struct Slot {
    SharedPage<Block> page;
    uint64_t believed[kBlockWords] = {};
    uint32_t allowance = 0;
    bool is_faulty = false;
  };

  [[nodiscard]] Slot& at(uint32_t slot);
  void read(uint32_t index);

  std::vector<Slot> slots_;
  std::vector<Fault> faults_;
  int shared_fd_ = -1;
};

/// A worker's own counters: one writer, so a plain load and store are enough.
class Counters {
 public:
  void attach(Block* block) { block_ = block; }

  void add(Counter counter, uint64_t amount = 1) { set(counter, get(counter) + amount); }
  void subtract(Counter counter, uint64_t amount = 1) { set(counter, get(counter) - amount); }
  void set(Counter counter, uint64_t value) {
    cell(counter).store(value, std::memory_order_relaxed);
  }
  /// As set(), before every later load of this thread that is sequentially consistent.
  void set_in_order(Counter counter, uint64_t value) {
    cell(counter).store(value, std::memory_order_seq_cst);
  }
  [[nodiscard]] uint64_t get(Counter counter) const {
    return cell(counter).load(std::memory_order_relaxed);
  }

 private:
  [[nodiscard]] std::atomic<uint64_t>& cell(Counter counter) const {
    return block_->counters[static_cast<size_t>(counter)];
  }

  Block* block_ = nullptr;
};

}  // namespace megacomet
