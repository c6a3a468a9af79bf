// The record of one accepted connection, its states, and the one function that changes them.
// Level 3. Plain data, so that a connection can be handed to another process one day.
#pragma once

#include <cstdint>

#include "libev.h"
#include "outbox.h"

namespace megacomet {

/// kFree must be 0: fresh pages of the slab are zero.
enum class ConnectionState : uint8_t {
  kFree,
  /// Reads; nothing waits to be sent.
  kOpen,
  /// Bytes wait in the outbox. It does not read, so no more can gather and their order holds.
  kOwing,
};

/// One cache line. `watcher` comes first, so that libev's pointer is ours.
struct Connection {
  ev_io watcher;
  /// From one counter per worker: with the descriptor it names this occupant of the record, and an
  /// answer that comes late cannot hit the next one. Not per record: a chunk that was given back
  /// returns zeroed.
  uint32_t generation;
  /// Index into the worker's table of protocols.
  uint8_t protocol;
  ConnectionState state;
  /// Tick of one second at which the sweep closes it; compared as a signed difference.
  uint16_t deadline;
  /// Only in kOwing, else null.
  Outbox* outbox;

  [[nodiscard]] int fd() const { return watcher.fd; }
};

static_assert(sizeof(Connection) == 64, "a connection is one cache line");

/// Moves a connection to its next state. A move that the table does not know is a bug, and aborts.
void change_state(Connection* connection, ConnectionState next);

}  // namespace megacomet
