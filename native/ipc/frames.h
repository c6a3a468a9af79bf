// The frames of the control stream: their fields, once, and the codec for them.
// A frame is u32 length, u8 type, body; the length counts type and body; integers are
// little-endian. The addon exports this list, and lib/ipc/frames.ts builds its codec from it. No
// I/O.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/bounds.h"

namespace megacomet {

using Text = std::string;
/// Bytes of any length that a frame can have; a Text has a u16 for its length.
/// A string, so that what came becomes a message's data without a copy.
struct Blob {
  std::string bytes;
  bool operator==(const Blob& other) const { return bytes == other.bytes; }
};
using Numbers = std::vector<uint64_t>;
using Texts = std::vector<std::string>;

// Field types: u8, u32, u64, text (u16 length, bytes), blob (u32 length, bytes), numbers (u32
// count, u64 each), texts (u16 count, text each).

/// The manager's first order. `listeners` has an entry per listener that the worker inherits: a
/// Ownership (listener.h), who else holds the socket.
/// `parent` is the manager's pid; limits and rates are this worker's share.
#define MC_CONFIGURE(F)          \
  F(u32, parent)                 \
  F(u32, slot)                   \
  F(u32, connections_max)        \
  F(u32, server_connections_max) \
  F(u32, idle_timeout_s)         \
  F(u32, accept_rate_milli)      \
  F(text, protocol)              \
  F(numbers, listeners)

/// Settings that change while a worker runs.
#define MC_ADJUST(F)             \
  F(u32, connections_max)        \
  F(u32, server_connections_max) \
  F(u32, idle_timeout_s)         \
  F(u32, accept_rate_milli)

/// Watch (1) or leave alone (0) one listener.
#define MC_WATCH(F) \
  F(u32, listener)  \
  F(u8, on)

/// Take no new connection and close the old ones evenly over the time, then leave.
#define MC_DRAIN(F) F(u32, drain_ms)

/// What the comet protocol may and must, before Configure. Seconds and bytes; `flags` are those of
/// CometFlag (comet.h). `slices_max` workers send a slice of a broadcast at once, all where it is
/// 0. `origins` may open a WebSocket or read answers, "*" being all.
#define MC_COMET(F)                   \
  F(u64, epoch)                       \
  F(u32, heartbeat_s)                 \
  F(u32, poll_timeout_s)              \
  F(u32, handshake_timeout_s)         \
  F(u32, write_timeout_s)             \
  F(u32, channel_retention_s)         \
  F(u32, retry_ms)                    \
  F(u32, message_bytes_max)           \
  F(u32, send_queue_bytes_max)        \
  F(u32, channels_per_connection_max) \
  F(u64, worker_send_queue_bytes_max) \
  F(u64, worker_input_bytes_max)      \
  F(u32, slices_max)                  \
  F(u8, flags)                        \
  F(texts, origins)

/// One message, numbered by the manager: to every subscriber of `channel`. `flags` are those of
/// MessageFlag (comet.h). Also the items of a Page.
#define MC_PUBLISH(F) \
  F(u64, number)      \
  F(u8, flags)        \
  F(u32, spread_ms)   \
  F(text, channel)    \
  F(text, id)         \
  F(text, event)      \
  F(blob, data)

/// The answer to an Ask, for the connection `fd` if it still has that `generation`. `messages` are
/// whole Publish frames in the order of their numbers, all above the question's. `head` is the last
/// number that the answer covers: when `flags` say kPageLast, every later one comes by itself.
#define MC_REPLAY_PAGE(F) \
  F(u32, fd)              \
  F(u32, generation)      \
  F(u8, flags)            \
  F(u64, head)            \
  F(blob, messages)

/// Close every subscriber of a channel, or all connections where it is empty.
#define MC_KICK(F) \
  F(text, channel) \
  F(text, reason)

/// Whether to tell of every subscriber that comes or goes, in Presence frames.
#define MC_PRESENCE_EVENTS(F) F(u8, on)

/// Who subscribes to a channel, of the places below `below`. `question` comes back in the answer.
#define MC_QUERY(F) \
  F(u32, question)  \
  F(text, channel)  \
  F(u32, below)

/// Close one connection, if it still has that generation; with a reason as MC_KICK's.
#define MC_DISCONNECT(F) \
  F(u32, fd)             \
  F(u32, generation)     \
  F(text, reason)

/// A Message was not published: for the connection `fd` if it still has that `generation`. `error`
/// is a sentence for the client; `channel` and `id` are the message's.
#define MC_REJECTED(F) \
  F(u32, fd)           \
  F(u32, generation)   \
  F(text, channel)     \
  F(text, id)          \
  F(text, error)

/// A message of a mailbox for the poll that asked with Take: a lease. The worker answers Taken or
/// Returned, once, whatever becomes of the poll.
#define MC_MAILBOX_LEASE(F) \
  F(u32, fd)                \
  F(u32, generation)        \
  F(blob, data)

/// A worker is configured and waits for Watch.
#define MC_READY(F)   \
  F(text, version)    \
  F(u64, layout)      \
  F(u32, descriptors) \
  F(u32, connections_max)

/// A line for the manager's log. `error` is an errno value, 0 if none.
#define MC_LOG(F)  \
  F(u8, level)     \
  F(text, message) \
  F(u32, error)    \
  F(u32, suppressed)

/// This worker is nearly full; sent once each time it becomes so.
#define MC_NEAR_CAPACITY(F) F(u32, connections)

/// The last frame of a worker that drained.
#define MC_GOODBYE(F) F(u32, closed)

/// How many subscribers this worker has of a channel, or of the prefix pattern "name*". Sent before
/// the ReplayRequest that the first of them causes; `wanted` is 0 after the linger time: no more
/// messages.
#define MC_INTEREST(F) \
  F(text, channel)     \
  F(u32, count)        \
  F(u8, wanted)

/// A subscriber came (`there` = 1) or went, while that is observed.
#define MC_PRESENCE(F) \
  F(u8, there)         \
  F(u32, fd)           \
  F(u32, generation)   \
  F(text, channel)

/// Some subscribers of the channel asked for, as pairs of descriptor and generation. More are
/// `below` that place; 0 ends the list.
#define MC_PRESENT(F) \
  F(u32, question)    \
  F(u32, below)       \
  F(numbers, members)

/// A subscriber wants what was published on `channels` after `number` of `epoch` (`has_since` 1),
/// or only what comes from now on (0), in a Page of about `bytes_max`.
#define MC_REPLAY_REQUEST(F) \
  F(u32, fd)                 \
  F(u32, generation)         \
  F(u8, has_since)           \
  F(u64, epoch)              \
  F(u64, number)             \
  F(u32, bytes_max)          \
  F(texts, channels)

/// A poll waits for a message of the mailbox `name`.
#define MC_MAILBOX_POLL(F) \
  F(u32, fd)               \
  F(u32, generation)       \
  F(text, name)

/// The last byte of the poll's message was accepted by the kernel. The poll is over.
#define MC_MAILBOX_ACK(F) \
  F(u32, fd)              \
  F(u32, generation)

/// The poll is over without that. A message that it was given, or that is on its way, stays in the
/// mailbox.
#define MC_MAILBOX_NACK(F) \
  F(u32, fd)               \
  F(u32, generation)

/// A client published, where clients may. A Rejected frame answers what is not taken, nothing else.
#define MC_MESSAGE(F) \
  F(u32, fd)          \
  F(u32, generation)  \
  F(u8, flags)        \
  F(text, channel)    \
  F(text, id)         \
  F(text, event)      \
  F(blob, data)

/// A dialer's first order. `targets` and `sources` are "host port" pairs in numeric form.
#define MC_DIAL(F)          \
  F(u32, parent)            \
  F(u32, connections)       \
  F(u32, rate_milli)        \
  F(u32, connect_timeout_s) \
  F(texts, targets)         \
  F(texts, sources)

/// Before Dial, where connections are to subscribe: a DialTransport (comet_reader.h), and the
/// channel and cursor as they stand in the target of the request. Where `channels` is not 0, they
/// are so many: `channel` and a number, which is that of the connection, counted from `first`,
/// modulo `channels`. Where `awaits_cursor` is 0 the head alone counts as the answer. What arrives
/// is read each `collect_ms`, or at once if that is 0.
#define MC_SUBSCRIBE(F) \
  F(u8, transport)      \
  F(u8, awaits_cursor)  \
  F(u32, channels)      \
  F(u32, collect_ms)    \
  F(u32, first)         \
  F(text, host)         \
  F(text, channel)      \
  F(text, since)

/// Cut off all subscribers, and open them again, each after the message that it had last. Cursors
/// are of this epoch. One that fails tries again.
#define MC_RECONNECT(F) F(u64, epoch)

/// Tell of the messages that came: an DeliveryTimes frame for each of the latest, then Progress.
/// With `forgets` 1 they are forgotten then.
#define MC_GATHER(F) F(u8, forgets)

/// Ask every connection for one byte, waiting for each answer at most so long.
#define MC_VERIFY(F) F(u32, timeout_ms)

/// Keep `connections` of them busy with echo messages for a while.
#define MC_EXCHANGE(F)  \
  F(u32, connections)   \
  F(u32, message_bytes) \
  F(u32, duration_ms)

/// Where a dialer stands, five times a second and at each end of a phase (`finished` = 1).
/// `received` messages and `gaps` told of are those of all subscribers since the start.
#define MC_PROGRESS(F) \
  F(u8, phase)         \
  F(u8, finished)      \
  F(u32, opened)       \
  F(u32, failed)       \
  F(u32, lost)         \
  F(u64, answered)     \
  F(u64, wrong)        \
  F(u64, messages)     \
  F(u64, received)     \
  F(u64, gaps)         \
  F(u64, elapsed_us)

/// Failures of a dialer, as pairs of cause and count: an errno, or kHttpFailure and a status.
#define MC_FAILURES(F) F(numbers, counts)

/// Latencies of the phase that ended, as pairs of bucket and count; see histogram.h.
#define MC_LATENCY(F) \
  F(u64, min_us)      \
  F(u64, max_us)      \
  F(numbers, buckets)

/// When the subscribers of a dialer got one message: nanoseconds of CLOCK_MONOTONIC, and pairs of
/// bucket (histogram.h, microseconds since `first_ns`) and count.
#define MC_DELIVERY_TIMES(F) \
  F(u64, key)                \
  F(u64, count)              \
  F(u64, first_ns)           \
  F(u64, last_ns)            \
  F(numbers, buckets)

#define MC_FRAMES(X)                                        \
  X(kConfigure, 1, Configure, MC_CONFIGURE)                 \
  X(kAdjust, 2, Adjust, MC_ADJUST)                          \
  X(kWatch, 3, Watch, MC_WATCH)                             \
  X(kDrain, 4, Drain, MC_DRAIN)                             \
  X(kComet, 5, Comet, MC_COMET)                             \
  X(kPublish, 6, Publish, MC_PUBLISH)                       \
  X(kReplayPage, 7, ReplayPage, MC_REPLAY_PAGE)             \
  X(kKick, 8, Kick, MC_KICK)                                \
  X(kMailboxLease, 12, MailboxLease, MC_MAILBOX_LEASE)      \
  X(kPresenceEvents, 9, PresenceEvents, MC_PRESENCE_EVENTS) \
  X(kQuery, 10, Query, MC_QUERY)                            \
  X(kDisconnect, 11, Disconnect, MC_DISCONNECT)             \
  X(kRejected, 13, Rejected, MC_REJECTED)                   \
  X(kReady, 16, Ready, MC_READY)                            \
  X(kLog, 17, Log, MC_LOG)                                  \
  X(kNearCapacity, 18, NearCapacity, MC_NEAR_CAPACITY)      \
  X(kGoodbye, 19, Goodbye, MC_GOODBYE)                      \
  X(kInterest, 20, Interest, MC_INTEREST)                   \
  X(kReplayRequest, 21, ReplayRequest, MC_REPLAY_REQUEST)   \
  X(kMessage, 22, Message, MC_MESSAGE)                      \
  X(kPresence, 23, Presence, MC_PRESENCE)                   \
  X(kPresent, 24, Present, MC_PRESENT)                      \
  X(kMailboxPoll, 26, MailboxPoll, MC_MAILBOX_POLL)         \
  X(kMailboxAck, 27, MailboxAck, MC_MAILBOX_ACK)            \
  X(kMailboxNack, 28, MailboxNack, MC_MAILBOX_NACK)         \
  X(kDial, 32, Dial, MC_DIAL)                               \
  X(kVerify, 33, Verify, MC_VERIFY)                         \
  X(kExchange, 34, Exchange, MC_EXCHANGE)                   \
  X(kSubscribe, 35, Subscribe, MC_SUBSCRIBE)                \
  X(kGather, 36, Gather, MC_GATHER)                         \
  X(kReconnect, 37, Reconnect, MC_RECONNECT)                \
  X(kProgress, 48, Progress, MC_PROGRESS)                   \
  X(kFailures, 49, Failures, MC_FAILURES)                   \
  X(kLatency, 50, Latency, MC_LATENCY)                      \
  X(kDeliveryTimes, 51, DeliveryTimes, MC_DELIVERY_TIMES)

enum class FrameType : uint8_t {
#define X(identifier, number, name, fields) identifier = number,
  MC_FRAMES(X)
#undef X
};

enum class LogLevel : uint8_t { kInfo, kWarn, kError };

#define MC_TYPE_u8 uint8_t
#define MC_TYPE_u32 uint32_t
#define MC_TYPE_u64 uint64_t
#define MC_TYPE_text Text
#define MC_TYPE_numbers Numbers
#define MC_TYPE_texts Texts
#define MC_TYPE_blob Blob
#define MC_FIELD(type, name) MC_TYPE_##type name{};
#define X(identifier, number, name, fields)                   \
  struct name {                                               \
    static constexpr FrameType kType = FrameType::identifier; \
    fields(MC_FIELD)                                          \
  };
namespace frame {
MC_FRAMES(X)
}  // namespace frame
#undef X

struct FieldInfo {
  const char* type;
  const char* name;
};

struct FrameInfo {
  uint8_t type;
  const char* name;
  std::vector<FieldInfo> fields;
};

/// Every frame with its fields, for the other end's codec.
std::vector<FrameInfo> frame_infos();

/// One received frame. `body` is valid until the reader is fed again.
struct FrameView {
  uint8_t type;
  const uint8_t* body;
  size_t size;
};

/// Reads the fields of a body. False if bytes are missing, left over, or a count cannot be true.
#define X(identifier, number, name, fields) \
  [[nodiscard]] bool decode(const FrameView& view, frame::name* out);
MC_FRAMES(X)
#undef X

/// Appends a whole frame to `out`.
#define X(identifier, number, name, fields) \
  void encode(const frame::name& in, std::vector<uint8_t>* out);
MC_FRAMES(X)
#undef X

/// Cuts a stream of bytes into frames.
class FrameReader {
 public:
  /// Takes bytes in. Whole frames can then be had from next().
  void feed(const uint8_t* bytes, size_t size);

  /// The next whole frame; false when there is none yet, or the stream is broken.
  [[nodiscard]] bool next(FrameView* view);

  /// True once a length was 0 or above kFrameBytesMax: nothing after it can be trusted.
  [[nodiscard]] bool is_broken() const { return is_broken_; }

 private:
  std::vector<uint8_t> pending_;
  size_t consumed_ = 0;
  bool is_broken_ = false;
};

}  // namespace megacomet
