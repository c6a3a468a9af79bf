// The record of one outbound connection.
#pragma once

#include <cstdint>

#include "os/libev.h"

namespace megacomet {

enum class DialState : uint8_t {
  kFree,
  kConnecting,
  /// Connected, and the TLS handshake goes on.
  kShaking,
  /// Connected, and the request to subscribe is sent.
  kSubscribing,
  /// Connected, without an unanswered request. Messages may arrive.
  kIdle,
  /// A poll was answered without news; its next request waits for the next progress report.
  kResting,
  /// Sent a message and waits for its echo.
  kAwaitingEcho,
};

/// One cache line, as in the server.
struct Dialed {
  ev_io watcher;
  /// When the connect or the echo message began, in microseconds; wraps after 71 minutes.
  uint32_t began_us;
  /// Bytes of the echo message that are sent, and bytes of its echo that are received. While the
  /// connection opens: the position of the target, and when the connect was due, as `began_us`.
  uint32_t sent;
  uint32_t received;
  DialState state;
  /// The server sent bytes before it was sent a message: it does not echo.
  bool has_spoken_first;
  /// The TLS handshake is done: its bytes are records.
  bool is_sealed;

  /// Whether the server has to do something before a time limit.
  [[nodiscard]] bool is_waiting() const {
    return is_opening() || state == DialState::kAwaitingEcho;
  }
  [[nodiscard]] bool is_opening() const {
    return state == DialState::kConnecting || state == DialState::kShaking ||
           state == DialState::kSubscribing;
  }
};
static_assert(sizeof(Dialed) == 64, "a dialed connection is one cache line");

}  // namespace megacomet
