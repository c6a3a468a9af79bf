// What a subscriber of the load generator receives, read byte by byte: heads, events, frames, lines
// and polls, each message known by its cursor. Pure: 32 bytes a connection, no buffer.
#pragma once

#include <cstddef>
#include <cstdint>

namespace megacomet {

/// How a dialed connection speaks. The numbers stand in Subscribe frames.
enum class DialTransport : uint8_t { kTcp, kSse, kWebSocket, kPoll, kStream };

enum class ScanStep : uint8_t {
  // The head of an answer.
  kStatusLine,
  kHeadLine,
  kHeadName,
  kHeadRest,
  kHeadLength,
  kHeadEpoch,
  kHeadNumber,
  // What follows it.
  kSseLine,
  kSseId,
  kSseEvent,
  kSseRest,
  kFrame,
  kControl,
  kJson,
  kJsonCursor,
};

/// Where one connection's stream stands. All zero: before its first byte.
struct CometScan {
  /// Of the cursor that was read last: a hash of its text, so that any server's ids will do. While
  /// the head of a poll is read, and until its body, the epoch of its cursor.
  uint64_t key;
  /// Of the cursor that was read last; of a poll that after which the next one asks.
  uint64_t number;
  /// Bytes of the frame or of the body that are to come.
  uint32_t left;
  uint16_t status;
  ScanStep step;
  /// Bytes of the line, the header or the object so far; stays at 255.
  uint8_t column;
  /// Characters that match the word that is looked for, and those of the word for a gap.
  uint8_t matched;
  uint8_t gap_matched;
  /// The first byte of a frame's header, and the flags of the reader.
  uint8_t frame;
  uint8_t flags;
};
static_assert(sizeof(CometScan) == 32, "half a cache line for what a subscriber reads");

enum class CometEvent : uint8_t {
  /// All bytes are read.
  kNone,
  /// The head is whole: `status`.
  kHead,
  /// The subscription is answered.
  kPlace,
  /// A message: `key`.
  kMessage,
  /// The server says that messages are gone.
  kGap,
  /// A poll is answered in whole.
  kAnswer,
  kPing,
  kClose,
  /// This is no answer of such a server.
  kBroken,
};

/// The bytes that have come, and how far they are read.
struct CometInput {
  const uint8_t* at;
  const uint8_t* end;
};

/// Reads on until something happened. To be called until it answers kNone, or kBroken.
[[nodiscard]] CometEvent read_comet(DialTransport transport, CometScan* scan, CometInput* input);

}  // namespace megacomet
