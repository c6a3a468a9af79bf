// What the manager is told of subscribers: how many a channel has, who comes and goes while
// somebody listens, and who is there when somebody asks.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bounds.h"
#include "connection/services.h"
#include "ipc/control.h"
#include "ipc/segment.h"
#include "os/slab.h"
#include "pubsub/channels.h"
#include "pubsub/fanout.h"

namespace megacomet {

class Presence {
 public:
  struct Parts {
    Channels* channels;
    Fanout* fanout;
    Slab<Connection>* connections;
    Control* control;
    Counters* counters;
  };

  explicit Presence(const Parts& parts) : parts_(parts) {}
  Presence(const Presence&) = delete;
  Presence& operator=(const Presence&) = delete;

  /// Seconds that a channel is kept after its last subscriber.
  void set_channel_retention(uint32_t seconds) { channel_retention_s_ = seconds; }
  /// Turns the manager's presence events on or off.
  void observe(const frame::PresenceEvents& command) { are_presence_events_on_ = command.on != 0; }

  /// A subscriber of a row came or went.
  void joined(uint32_t row, const Connection& connection) {
    if (are_presence_events_on_) tell(row, connection, true);
    note(row);
  }
  void left(uint32_t row, const Connection& connection) {
    if (are_presence_events_on_) tell(row, connection, false);
    note(row);
  }
  /// Something of a row changed that its count depends on.
  void note(uint32_t row);

  /// Tells the manager of changed counts; a few times a second, and before every question.
  void tell_counts();
  /// Once a second: gives up channels that nobody came back to.
  void tick(uint16_t now);
  /// A page of a channel's subscribers.
  void answer(const frame::Query& query);

 private:
  [[nodiscard]] bool is_near_capacity() const {
    return parts_.channels->size() > bounds::kRetainedChannelsMax;
  }
  void tell(uint32_t row, const Connection& connection, bool is_there);

  Parts parts_;
  std::vector<uint32_t> changed_;
  uint32_t channel_retention_s_ = 0;
  uint32_t retention_position_ = 0;
  uint16_t now_ = 0;
  bool are_presence_events_on_ = false;
};

}  // namespace megacomet
