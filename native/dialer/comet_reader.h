// Reads the responses to a subscriber of the load generator: heads, events, frames, lines and
// polls. A message is identified by its cursor. Pure; 32 bytes per connection, without a buffer.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ipc/load_frames.h"

namespace megacomet {

enum class ScanStep : uint8_t {
  // The head of a response.
  kStatusLine,
  kHeadLine,
  kHeadName,
  kHeadRest,
  kHeadLength,
  kHeadEpoch,
  kHeadNumber,
  // The bytes after the head.
  kSseLine,
  kSseId,
  kSseEvent,
  kSseRest,
  kFrame,
  kControl,
  kJson,
  kJsonCursor,
};

/// The reader's state for one connection. All zero before the first byte.
struct CometScan {
  /// Of the last cursor: a hash of its text, so that the ids of any server work. While a poll's
  /// head is read: the epoch of its cursor, or 0 before it.
  uint64_t key;
  /// Of the last cursor; for a poll, the position from which the next poll resumes.
  uint64_t number;
  /// Bytes of the frame or of the body that must still arrive.
  uint32_t left;
  /// Index of the subscriber. Fills the padding; the reader does not use it.
  uint32_t subscriber;
  uint16_t status;
  ScanStep step;
  /// Bytes read of the line, the header or the object; stays at 255.
  uint8_t column;
  /// Matched characters of the word that the reader expects, and of the word that reports a gap.
  uint8_t matched;
  uint8_t gap_matched;
  /// The first byte of a frame's header, and the flags of the reader.
  uint8_t frame;
  uint8_t flags;
};
static_assert(sizeof(CometScan) == 32, "the state of a subscriber is half a cache line");

enum class CometEvent : uint8_t {
  /// All bytes are read.
  kNone,
  /// The head is complete: `status`.
  kHead,
  /// The server confirms the subscription: `number` is its position.
  kSubscribed,
  /// A message: `key`, and its `number`.
  kMessage,
  /// The server reports that messages are gone.
  kGap,
  /// The response to a poll is complete.
  kAnswer,
  kPing,
  kClose,
  /// These bytes do not follow the protocol.
  kBroken,
};

/// The received bytes that are not read.
struct CometInput {
  const uint8_t* at;
  const uint8_t* end;
};

/// Reads up to the next event. Call it until it returns kNone or kBroken.
[[nodiscard]] CometEvent read_comet(DialTransport transport, CometScan* scan, CometInput* input);

}  // namespace megacomet
