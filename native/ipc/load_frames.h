// The frames between the load generator and its dialer processes: their fields, once. A dialer
// also sends Ready and Log of frames.h. lib/ipc/load-frames.ts is generated from this file: run
// `npm run generate:frames` after a change.
#pragma once

#include "ipc/frame_codec.h"

namespace megacomet {

/// How a dialed connection receives messages. The values of `Subscribe.transport`.
enum class DialTransport : uint8_t { kTcp, kSse, kWebSocket, kPoll, kStream };

/// The phases of a dialer. The values of `Progress.phase`.
enum class DialPhase : uint8_t { kNone, kOpen, kVerify, kExchange, kGather };

/// The first command of a dialer. `targets` and `sources` are "host port" pairs in numeric form.
#define MC_DIAL(F)          \
  F(u32, parent)            \
  F(u32, connections)       \
  F(u32, rate_milli)        \
  F(u32, connect_timeout_s) \
  F(texts, targets)         \
  F(texts, sources)

/// Sent before Dial if connections are to subscribe. `transport` is a DialTransport; `channel` and
/// `since` are percent-encoded for the target of the request. If `channels` is not 0, connection N
/// subscribes to `channel` followed by N modulo `channels`; N counts from `first`. It sends the Nth
/// of `tokens`, which repeat; none if there are none. If `awaits_cursor` is 0, the head of a
/// response is enough. Input is read every `collect_ms`, or at once if that is 0.
#define MC_SUBSCRIBE(F) \
  F(u8, transport)      \
  F(u8, awaits_cursor)  \
  F(u32, channels)      \
  F(u32, collect_ms)    \
  F(u32, first)         \
  F(text, host)         \
  F(text, channel)      \
  F(text, since)        \
  F(texts, tokens)

/// Sent before Dial if connections begin with a TLS handshake. `hosts` has the name or numeric
/// address that the certificate of each target must have; if `sends_name` is 1, the handshake names
/// it (SNI). If `verifies` is 0, any certificate will do. `authorities` is PEM, empty for those of
/// the system; `session` is the SSL_SESSION of DER that all handshakes resume, or empty.
#define MC_DIAL_TLS(F) \
  F(u8, verifies)      \
  F(u8, sends_name)    \
  F(texts, hosts)      \
  F(blob, authorities) \
  F(blob, session)

/// Closes all subscribers and opens them again, each with the cursor of its last message. `epoch`
/// is the epoch of these cursors. A connection that fails tries again.
#define MC_RECONNECT(F) F(u64, epoch)

/// Asks for a DeliveryTimes frame for each of the latest messages, then Progress. If `forgets` is
/// 1, the dialer forgets these messages.
#define MC_GATHER(F) F(u8, forgets)

/// Sends one byte on every connection and waits at most `timeout_ms` for each reply.
#define MC_VERIFY(F) F(u32, timeout_ms)

/// Exchanges echo messages on `connections` connections for `duration_ms`.
#define MC_EXCHANGE(F)  \
  F(u32, connections)   \
  F(u32, message_bytes) \
  F(u32, duration_ms)

/// The state of a dialer, sent five times a second and at the end of each phase (`finished` 1).
/// `phase` is a DialPhase. Of the echoes of this phase: `asked` connections were sent a message,
/// and `broken` of them were lost before its echo was complete. At the end of an exchange `silent`
/// is the number of connections without any echo. `received` counts messages and `gaps` counts
/// reported gaps of all subscribers since the start.
#define MC_PROGRESS(F) \
  F(u8, phase)         \
  F(u8, finished)      \
  F(u32, opened)       \
  F(u32, failed)       \
  F(u32, lost)         \
  F(u64, asked)        \
  F(u64, broken)       \
  F(u64, silent)       \
  F(u64, answered)     \
  F(u64, wrong)        \
  F(u64, messages)     \
  F(u64, received)     \
  F(u64, gaps)         \
  F(u64, elapsed_us)

/// The causes of failed connects (`counts`) and of lost connections (`losses`) since the start, as
/// pairs of cause and count. A cause is an errno, kHttpFailure plus an HTTP status, 0 if the server
/// closed the connection, or a number of `named`, with its text in `names`. Sent before a Progress
/// if a count has changed.
#define MC_FAILURES(F) \
  F(numbers, counts)   \
  F(numbers, losses)   \
  F(numbers, named)    \
  F(texts, names)

/// Latencies of the finished phase, as pairs of bucket (histogram.h) and count.
#define MC_LATENCY(F) \
  F(u64, min_us)      \
  F(u64, max_us)      \
  F(numbers, buckets)

/// When the subscribers of a dialer received one message. Times are nanoseconds of CLOCK_MONOTONIC.
/// `buckets` has pairs of bucket (histogram.h, microseconds after `first_ns`) and count.
#define MC_DELIVERY_TIMES(F) \
  F(u64, key)                \
  F(u64, count)              \
  F(u64, first_ns)           \
  F(u64, last_ns)            \
  F(numbers, buckets)

#define MC_LOAD_FRAMES(X)                    \
  X(kDial, 64, Dial, MC_DIAL)                \
  X(kVerify, 65, Verify, MC_VERIFY)          \
  X(kExchange, 66, Exchange, MC_EXCHANGE)    \
  X(kSubscribe, 67, Subscribe, MC_SUBSCRIBE) \
  X(kGather, 68, Gather, MC_GATHER)          \
  X(kReconnect, 69, Reconnect, MC_RECONNECT) \
  X(kDialTls, 70, DialTls, MC_DIAL_TLS)      \
  X(kProgress, 80, Progress, MC_PROGRESS)    \
  X(kFailures, 81, Failures, MC_FAILURES)    \
  X(kLatency, 82, Latency, MC_LATENCY)       \
  X(kDeliveryTimes, 83, DeliveryTimes, MC_DELIVERY_TIMES)

enum class LoadFrameType : uint8_t { MC_LOAD_FRAMES(MC_FRAME_TYPE) };

namespace frame {
MC_LOAD_FRAMES(MC_FRAME_STRUCT)
}  // namespace frame

constexpr char kLoadFramesText[] = MC_LOAD_FRAMES(MC_FRAME_TEXT);

}  // namespace megacomet
