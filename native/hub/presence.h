// Reports about subscribers to the manager: the number of each channel, presence events, and lists.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bounds.h"
#include "connection/connection.h"
#include "hub/access.h"
#include "ipc/control.h"
#include "ipc/segment.h"
#include "os/slab.h"
#include "pubsub/channels.h"
#include "pubsub/fanout.h"
#include "pubsub/namespaces.h"

namespace megacomet {

class Presence {
 public:
  struct Parts {
    Channels* channels;
    const Namespaces* namespaces;
    Fanout* fanout;
    Slab<Connection>* connections;
    Control* control;
    Counters* counters;
    Access* access;
  };

  explicit Presence(const Parts& parts) : parts_(parts) {}
  Presence(const Presence&) = delete;
  Presence& operator=(const Presence&) = delete;

  /// Seconds that a channel is kept after its last subscriber left.
  void set_channel_retention(uint32_t seconds) { channel_retention_s_ = seconds; }
  /// Turns the manager's presence events on or off.
  void observe(const frame::PresenceEvents& command) { sends_events_ = command.on != 0; }

  /// A subscriber joined or left a channel.
  void joined(uint32_t channel, const Connection& connection) {
    if (needs_event(channel)) send_event(channel, connection, true);
    note(channel);
  }
  void left(uint32_t channel, const Connection& connection) {
    if (needs_event(channel)) send_event(channel, connection, false);
    note(channel);
  }
  /// Something changed that the number of subscribers depends on.
  void note(uint32_t channel);

  /// Sends changed numbers to the manager, before each replay request.
  void send_counts();
  /// Sends changed numbers and a step of report_again(), and drops channels without room; a few
  /// times a second.
  void report();
  /// Reports every channel again, in steps: the manager's table of interest was full.
  void report_again(const frame::InterestRequest& request);
  /// Once a second: forgets channels whose retention ended.
  void tick(uint16_t now);
  /// Sends a page of a channel's subscribers.
  void answer(const frame::Query& query);

 private:
  [[nodiscard]] bool is_near_capacity() const { return retained_ >= bounds::kRetainedChannelsMax; }
  [[nodiscard]] bool needs_event(uint32_t channel) const {
    return sends_events_ ||
           (parts_.namespaces->has_join_leave() && is_of_join_leave(parts_.channels->at(channel)));
  }
  [[nodiscard]] bool is_of_join_leave(const Channel& channel) const;
  void send_event(uint32_t channel, const Connection& connection, bool is_there);
  void forget(uint32_t channel);
  void send_interest(const Channel& channel);
  void send_step();
  void drop_excess();

  Parts parts_;
  std::vector<uint32_t> changed_;
  /// Channels that lost their last subscriber when too many were kept.
  std::vector<uint32_t> excess_;
  uint32_t channel_retention_s_ = 0;
  /// Channels without subscribers.
  uint32_t retained_ = 0;
  uint32_t retention_position_ = 0;
  /// The next channel to report again, and the request to answer at the end; 0 without one.
  uint32_t report_position_ = 0;
  uint32_t report_request_ = 0;
  uint16_t now_ = 0;
  bool sends_events_ = false;
};

}  // namespace megacomet
