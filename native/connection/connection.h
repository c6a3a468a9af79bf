// The record of one accepted connection, its states, and the one function that changes them.
// Plain data, so that a connection can be handed to another process one day.
#pragma once

#include <cstdint>
#include <cstring>

#include "base/bounds.h"
#include "connection/outbox.h"
#include "connection/session.h"
#include "os/libev.h"

namespace megacomet {

/// kFree must be 0: fresh pages of the slab are zero.
enum class ConnectionState : uint8_t {
  kFree,
  /// Reads; nothing waits to be sent.
  kOpen,
  /// Bytes wait in the outbox. It does not read, so no more can gather and their order holds.
  kOwing,
  /// An idle subscriber of one channel, which `only` names.
  kSubscribed,
  /// Has a session, whatever it does.
  kBusy,
};

/// The one channel of an idle subscriber.
struct OnlyChannel {
  uint32_t channel;
  /// In the channel's row of subscribers.
  uint32_t position;
};

/// What a record has in the 8 bytes of its watcher that libev leaves to us.
struct Spare {
  /// In kSubscribed: the low 32 bits of the lowest number that it still wants; see cursor.h.
  uint32_t wants_from;
  /// Tick at which what has begun of a WebSocket message must be whole; 0 where none has.
  uint16_t message_deadline;
  /// Pings and pongs of a WebSocket since the sweep looked last.
  uint16_t controls;
};
static_assert(sizeof(Spare) == sizeof(ev_io::data), "it lies where libev has a pointer");

/// One cache line. `watcher` comes first, so that libev's pointer is ours.
struct Connection {
  /// Its `data` is ours; see Spare.
  ev_io watcher;
  /// From one counter per worker: with the descriptor it names this occupant of the record, and an
  /// answer that comes late cannot hit the next one. Not per record: a chunk that was given back
  /// returns zeroed.
  uint32_t generation;
  /// Index into the worker's table of protocols.
  uint8_t protocol : 4;
  /// The protocol's own; for a WebSocket the window of its compression, 9 to 15 bits, 0 without.
  uint8_t mode : 4;
  ConnectionState state;
  /// Tick of one second at which the sweep closes it; compared as a signed difference.
  uint16_t deadline;
  /// The state says which.
  union {
    /// In kOwing, else null.
    Outbox* outbox;
    /// In kBusy.
    Session* session;
    /// In kSubscribed.
    OnlyChannel only;
  };

  [[nodiscard]] int fd() const { return watcher.fd; }

  [[nodiscard]] Spare spare() const {
    Spare spare{};
    std::memcpy(&spare, &watcher.data, sizeof spare);
    return spare;
  }
  void set_spare(const Spare& spare) { std::memcpy(&watcher.data, &spare, sizeof spare); }

  [[nodiscard]] uint32_t wants_from() const { return spare().wants_from; }
  void set_wants_from(uint32_t number) {
    Spare now = spare();
    now.wants_from = number;
    set_spare(now);
  }

  /// Past, not at: the last byte may have come at the end of its second.
  [[nodiscard]] bool is_due(uint16_t now) const { return static_cast<int16_t>(deadline - now) < 0; }

  [[nodiscard]] bool has_begun_message() const { return spare().message_deadline != 0; }
  [[nodiscard]] bool is_message_late(uint16_t now) const {
    const uint16_t tick = spare().message_deadline;
    return tick != 0 && static_cast<int16_t>(tick - now) < 0;
  }
  /// The tick at which the message that has begun must be whole. 0 means none, so that one second
  /// of each 18 hours counts as the next.
  void begin_message(uint16_t tick) {
    Spare now = spare();
    now.message_deadline = tick == 0 ? 1 : tick;
    set_spare(now);
  }
  void end_message() {
    Spare now = spare();
    now.message_deadline = 0;
    set_spare(now);
  }

  /// Counts a ping or pong; false if it is one too many.
  [[nodiscard]] bool count_control() {
    Spare now = spare();
    if (now.controls >= bounds::kWebSocketControlsMax) return false;
    ++now.controls;
    set_spare(now);
    return true;
  }
  /// Most have none, and a record that nobody writes to stays clean.
  void forget_controls() {
    Spare now = spare();
    if (now.controls == 0) return;
    now.controls = 0;
    set_spare(now);
  }
};

static_assert(sizeof(Connection) == 64, "a connection is one cache line");

/// Whether a connection of comet has bytes to send that its socket did not take.
inline bool has_queued_output(const Connection& connection) {
  return connection.state == ConnectionState::kBusy && !connection.session->send_queue.is_empty();
}

/// Moves a connection to its next state. A move that the table does not know is a bug, and aborts.
void change_state(Connection* connection, ConnectionState next);

}  // namespace megacomet
