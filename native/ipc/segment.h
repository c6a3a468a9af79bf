// The shared stats segment: the list of counters, the layout, one writer per block.
// One memfd holds a header page, a page with the only field that several processes write, and one
// block per slot. A block belongs to the slot, so totals outlive the worker that counted them.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/bounds.h"

namespace megacomet {

enum class CounterKind : uint8_t { kTotal, kGauge };

// Every counter once: identifier, name, kind, help. The help says what to do about the figure.
// A failure total is followed by one counter per cause.
// One row reads as a sentence; the tool would break each into four lines.
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
    "accept4 passed on a peer's own network error. Nothing to do unless it dominates.")           \
  X(kAcceptFailedOtherTotal, "accept_failed_other_total", kTotal,                                 \
    "accept4 failed for another reason, which the log names.")                                    \
  X(kAcceptPausedTotal, "accept_paused_total", kTotal,                                            \
    "Times a listener rested for lack of descriptors, memory, room or accept tokens.")            \
  X(kRejectedTotal, "rejected_total", kTotal,                                                     \
    "Connections reset at once because the server was full: raise --max-connections.")            \
  X(kRejectedFullTotal, "rejected_full_total", kTotal,                                            \
    "Rejected because --max-connections were open on the whole server.")                          \
  X(kRejectedDescriptorsTotal, "rejected_descriptors_total", kTotal,                              \
    "Rejected with the spare descriptor because the worker had none left.")                       \
  X(kClosedTotal, "closed_total", kTotal, "Connections closed; the causes follow.")               \
  X(kClosedPeerTotal, "closed_peer_total", kTotal, "Closed after the peer ended its side.")       \
  X(kClosedResetTotal, "closed_reset_total", kTotal,                                              \
    "Closed after a read or write failed, most often because the peer reset the connection.")     \
  X(kClosedIdleTotal, "closed_idle_total", kTotal,                                                \
    "Closed because nothing moved for --idle-timeout seconds.")                                   \
  X(kClosedDrainTotal, "closed_drain_total", kTotal, "Closed by us while draining.")              \
  X(kClosedWatchFailedTotal, "closed_watch_failed_total", kTotal,                                 \
    "Closed because epoll_ctl refused them: raise fs.epoll.max_user_watches, or add memory.")     \
  X(kClosedDoneTotal, "closed_done_total", kTotal,                                                \
    "Closed by us after the last answer of the connection.")                                      \
  X(kClosedRejectedTotal, "closed_rejected_total", kTotal,                                        \
    "Closed since the peer broke a rule of its protocol, or too much was half read already.")     \
  X(kClosedSlowTotal, "closed_slow_total", kTotal,                                                \
    "Closed since the peer did not take what was sent: a slow consumer.")                         \
  X(kClosedDeadTotal, "closed_dead_total", kTotal,                                                \
    "Closed since the peer did not answer a heartbeat.")                                          \
  X(kClosedKickedTotal, "closed_kicked_total", kTotal,                                            \
    "Closed by an operator.")                                                                     \
  X(kClosedMessageTimeoutTotal, "closed_message_timeout_total", kTotal,                           \
    "WebSockets closed since a message was not whole in --handshake-timeout seconds.")            \
  X(kClosedByCrashTotal, "closed_by_crash_total", kTotal,                                         \
    "Lost with a worker that died. Look for the crash in the log.")                               \
  X(kBytesReceivedTotal, "bytes_received_total", kTotal, "Payload bytes read from peers.")        \
  X(kBytesSentTotal, "bytes_sent_total", kTotal, "Payload bytes that the kernel took from us.")   \
  X(kEchoedTotal, "echoed_total", kTotal, "Reads that were answered by the echo protocol.")       \
  X(kShortWritesTotal, "short_writes_total", kTotal,                                              \
    "Writes that the kernel took only in part: the peer reads slower than it sends.")             \
  X(kSendQueueConnections, "send_queue_connections", kGauge,                                      \
    "Connections with bytes waiting for a slow peer.")                                            \
  X(kSendQueueFullTotal, "send_queue_full_total", kTotal,                                         \
    "Slow clients, those owed most, closed since all outboxes of the worker were full.")          \
  X(kSendQueueBytes, "send_queue_bytes", kGauge, "Bytes that wait in user memory for slow peers.")\
  X(kInputBudgetFullTotal, "input_budget_full_total", kTotal,                                     \
    "Clients turned away since too much that was not whole waited in the worker.")                \
  X(kInputBudgetBytes, "input_budget_bytes", kGauge,                                              \
    "Bytes of requests and messages of which the rest has not come.")                             \
  X(kControlFrameLimitTotal, "control_frame_limit_total", kTotal,                                 \
    "WebSockets closed since they sent too many pings or pongs at once: find out who does.")      \
  X(kSessions, "sessions", kGauge,                                                                \
    "Connections with a session: busy, slow, or on several channels. Idle ones have none.")       \
  X(kSubscriptions, "subscriptions", kGauge,                                                      \
    "Subscriptions of connections to channels.")                                                  \
  X(kChannels, "channels", kGauge,                                                                \
    "Channels that somebody here subscribes to, or did so lately.")                               \
  X(kRequestsTotal, "requests_total", kTotal,                                                     \
    "HTTP requests that came whole.")                                                             \
  X(kBadRequestsTotal, "bad_requests_total", kTotal,                                              \
    "HTTP requests that were refused: look at the clients, or at who scans the port.")            \
  X(kMessagesTotal, "messages_total", kTotal,                                                     \
    "Messages that the manager sent to this worker.")                                             \
  X(kEventsDroppedTotal, "events_dropped_total", kTotal,                                          \
    "Comings and goings of subscribers that were not told, since the manager did not read.")      \
  X(kDeliveredTotal, "delivered_total", kTotal,                                                   \
    "Messages given to subscribers as they came.")                                                \
  X(kFanoutSlicesDelayedTotal, "fanout_slices_delayed_total", kTotal,                             \
    "Slices of messages held back for new connections, which had to wait for more than 0.1 s.")   \
  X(kReplayedTotal, "replayed_total", kTotal,                                                     \
    "Messages given to subscribers who had missed them.")                                         \
  X(kReplayRequestsTotal, "replay_requests_total", kTotal,                                        \
    "Subscribers for whom the manager had to be asked what they missed.")                         \
  X(kGapsTotal, "gaps_total", kTotal,                                                             \
    "Subscribers who were told that messages are gone: raise the history limits.")                \
  X(kDroppedOldestTotal, "dropped_oldest_total", kTotal,                                          \
    "Messages dropped for slow consumers by the policy drop-oldest.")                             \
  X(kDroppedReplacedTotal, "dropped_replaced_total", kTotal,                                      \
    "Messages dropped for slow consumers by the policy latest-only.")                             \
  X(kHeartbeatsTotal, "heartbeats_total", kTotal,                                                 \
    "Heartbeats sent to idle subscribers.")                                                       \
  X(kListenersPaused, "listeners_paused", kGauge,                                                 \
    "Listeners at rest now. Above 0 for long, new clients wait: find the cause in the log.")      \
  X(kLogDroppedTotal, "log_dropped_total", kTotal,                                                \
    "Log lines of a worker that found the manager not reading.")                                  \
  X(kLoopLagMaxUs, "loop_lag_max_us", kGauge,                                                     \
    "Longest turn of the loop in the last 10 to 20 seconds, in microseconds. Above 100,000 "      \
    "clients notice: the worker is overloaded or starved of a core.")
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

/// Buckets of the loop-lag histogram: bucket b counts turns of less than 2^b microseconds, the last
/// one all others. 2^24 µs are 17 s, past the heartbeat limit.
constexpr size_t kLagBuckets = 25;

/// One slot's figures. Written by its worker only, while it lives; by the manager after its death.
struct alignas(4096) Block {
  /// CLOCK_MONOTONIC nanoseconds of the serving loop's last beat. Written by the worker, so that a
  /// manager that was stopped itself cannot take a healthy worker for a stuck one.
  std::atomic<uint64_t> heartbeat_ns;
  std::atomic<uint64_t> counters[kCounterCount];
  std::atomic<uint64_t> lag[kLagBuckets];
};
static_assert(sizeof(Block) == 4096, "one page per slot: no two workers write one cache line");

/// 64-bit words of a block that a copy carries: beat, counters, lag.
constexpr size_t kBlockWords = 1 + kCounterCount + kLagBuckets;

/// What a process checks before it trusts a segment that it was given.
struct alignas(4096) Header {
  uint64_t magic;
  uint64_t layout_hash;
  uint32_t slots;
};

/// The fields with several writers.
struct alignas(4096) Shared {
  /// Open on the whole server, for admission. Reported figures never come from it; they are sums of
  /// the blocks.
  std::atomic<int64_t> connections;
  /// Until when each place of a slice of a broadcast is lent, on the monotonic clock; 0: free
  /// (slice_limiter.h).
  std::atomic<uint64_t> slice_ends_ns[bounds::kSliceSlotsMax];
};
static_assert(sizeof(Shared) == 4096, "one page: it lies between the header and the blocks");

/// A hash of every counter's name, kind and order: two builds that differ there do not mix.
uint64_t layout_hash();

/// A mapped segment. Closes and unmaps itself.
class Segment {
 public:
  Segment() = default;
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;
  ~Segment();

  /// Makes a sealed segment of `slots` blocks. False with errno on failure.
  [[nodiscard]] bool create(uint32_t slots);

  /// Maps an inherited segment, and owns its descriptor then. False if it is not one of ours, or of
  /// another layout or size.
  [[nodiscard]] bool open(int fd);

  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] uint32_t slots() const { return header()->slots; }
  [[nodiscard]] Block& block(uint32_t slot);
  [[nodiscard]] Shared& shared();

  /// Copies kBlockWords words per slot to `target`.
  void copy(uint64_t* target);

  /// Settles the accounts of a dead worker: its connections count as closed by the crash and its
  /// gauges return to zero, so that totals never fall and accepted − closed stays true.
  void retire(uint32_t slot);

 private:
  [[nodiscard]] const Header* header() const { return static_cast<const Header*>(memory_); }

  int fd_ = -1;
  void* memory_ = nullptr;
  size_t bytes_ = 0;
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
