// The record of one accepted connection, its states, and the one function that changes them.
// Plain data, so that a connection can be handed to another process one day.
#pragma once

#include <cstdint>
#include <cstring>

#include "base/bounds.h"
#include "os/libev.h"
#include "os/slab.h"

namespace megacomet {

struct Session;

/// kFree must be 0: fresh pages of the slab are zero.
enum class ConnectionState : uint8_t {
  kFree,
  /// Idle, with nothing but its record.
  kOpen,
  /// An idle subscriber of one channel, which `only` names.
  kSubscribed,
  /// Has a session: queued output, half-read input, several channels or a pending replay.
  kBusy,
};

/// The one channel of an idle subscriber.
struct OnlyChannel {
  uint32_t channel;
  /// In the channel's list of subscribers.
  uint32_t position;
};

/// The 8 bytes of a watcher that libev leaves to its user.
struct WatcherData {
  /// In kSubscribed: the low 32 bits of the lowest message number still wanted; see cursor.h.
  uint32_t next_wanted;
  /// Tick at which an incomplete WebSocket message times out; 0 without one.
  uint16_t message_deadline;
  /// Pings and pongs of a WebSocket since the last pass of the sweep.
  uint16_t controls;
};
static_assert(sizeof(WatcherData) == sizeof(ev_io::data), "it replaces libev's pointer");

/// One cache line. `watcher` comes first, so that libev's pointer is ours.
struct Connection {
  /// Its `data` is a WatcherData, and its `word` belongs to ClientLimits: where the client's
  /// address is counted. 0 if it is not.
  ev_io watcher;
  /// From one counter per worker: with the descriptor it names this occupant of the record, so that
  /// a late answer cannot reach the next one. Not counted per record: a chunk of records that was
  /// given back to the kernel returns zeroed.
  uint32_t generation;
  /// Index into the worker's table of protocols.
  uint8_t protocol : 4;
  /// The protocol's own; for a WebSocket the window of its compression, 9 to 15 bits, 0 without.
  uint8_t mode : 4;
  ConnectionState state : 4;
  /// Its send queue has bytes that the kernel did not take. Set and cleared by Sender.
  bool is_blocked : 1;
  /// Nothing more is read or delivered; it closes when its send queue is empty.
  bool is_closing : 1;
  /// A ping was sent, and nothing has arrived after it.
  bool awaits_pong : 1;
  /// Its TLS handshake is done: it sends and receives records (TlsConnections).
  bool is_sealed : 1;
  /// Tick of one second at which the sweep closes it; compared as a signed difference.
  uint16_t deadline;
  /// The state says which; null in kFree and kOpen.
  union {
    /// In kBusy.
    Session* session;
    /// In kSubscribed.
    OnlyChannel only;
  };

  [[nodiscard]] int fd() const { return watcher.fd; }
  [[nodiscard]] bool is_busy() const { return state == ConnectionState::kBusy; }

  [[nodiscard]] WatcherData data() const {
    WatcherData data{};
    std::memcpy(&data, &watcher.data, sizeof data);
    return data;
  }
  void set_data(const WatcherData& data) { std::memcpy(&watcher.data, &data, sizeof data); }

  [[nodiscard]] uint32_t next_wanted() const { return data().next_wanted; }
  void set_next_wanted(uint32_t number) {
    WatcherData now = data();
    now.next_wanted = number;
    set_data(now);
  }

  /// Past, not at: the last byte may have arrived at the end of its second.
  [[nodiscard]] bool is_due(uint16_t now) const { return static_cast<int16_t>(deadline - now) < 0; }

  /// For actions of the server itself: a heartbeat, the end of a poll.
  [[nodiscard]] bool has_reached_deadline(uint16_t now) const {
    return static_cast<int16_t>(deadline - now) <= 0;
  }

  [[nodiscard]] bool has_begun_message() const { return data().message_deadline != 0; }
  [[nodiscard]] bool is_message_late(uint16_t now) const {
    const uint16_t tick = data().message_deadline;
    return tick != 0 && static_cast<int16_t>(tick - now) < 0;
  }
  /// The tick at which an incomplete message times out. 0 means none, so that one second of each 18
  /// hours counts as the next.
  void begin_message(uint16_t tick) {
    WatcherData now = data();
    now.message_deadline = tick == 0 ? 1 : tick;
    set_data(now);
  }
  void end_message() {
    WatcherData now = data();
    now.message_deadline = 0;
    set_data(now);
  }

  [[nodiscard]] bool has_controls() const { return data().controls != 0; }
  /// Counts a ping or pong; false if it exceeds the limit.
  [[nodiscard]] bool count_control() {
    WatcherData now = data();
    if (now.controls >= bounds::kWebSocketControlsMax) return false;
    ++now.controls;
    set_data(now);
    return true;
  }
  /// Most records have none, and a record that is not written to stays clean in the cache.
  void forget_controls() {
    WatcherData now = data();
    if (now.controls == 0) return;
    now.controls = 0;
    set_data(now);
  }
};

static_assert(sizeof(Connection) == 64, "a connection is one cache line");

/// Moves a connection to its next state. A move that the table does not know is a bug, and aborts.
void change_state(Connection* connection, ConnectionState next);

/// Names a connection whose record may have another occupant when the name is used.
struct ConnectionName {
  uint32_t fd;
  uint32_t generation;
};

[[nodiscard]] inline ConnectionName name_of(const Connection& connection) {
  return {static_cast<uint32_t>(connection.fd()), connection.generation};
}

/// The connection of that name; null if it has closed.
[[nodiscard]] inline Connection* find_connection(Slab<Connection>* connections,
                                                 const ConnectionName& name) {
  if (name.fd >= connections->capacity()) return nullptr;
  Connection* connection = connections->at(static_cast<int>(name.fd));
  const bool is_same =
      connection->state != ConnectionState::kFree && connection->generation == name.generation;
  return is_same ? connection : nullptr;
}

}  // namespace megacomet
