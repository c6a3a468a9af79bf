// The channels of each connection, and its position in them.
#pragma once

#include <cstdint>
#include <string_view>

#include "connection/connection.h"
#include "connection/session.h"
#include "connection/sessions.h"
#include "hub/presence.h"
#include "hub/sequence.h"
#include "pubsub/channels.h"
#include "pubsub/fanout.h"

namespace megacomet {

class Subscriptions {
 public:
  struct Parts {
    Slab<Connection>* connections;
    Channels* channels;
    const Fanout* fanout;
    Presence* presence;
    Sessions* sessions;
    Counters* counters;
    const Sequence* sequence;
  };

  explicit Subscriptions(const Parts& parts) : parts_(parts) {}
  Subscriptions(const Subscriptions&) = delete;
  Subscriptions& operator=(const Subscriptions&) = delete;

  /// Subscribes an open connection to one channel, from now on. It needs no session.
  void subscribe_only(Connection* connection, uint32_t channel);

  /// Subscribes a busy connection to one more channel. It wants all messages above `number`.
  void subscribe(Connection* connection, uint32_t channel, uint64_t number);

  /// Leaves all channels.
  void leave_all(Connection* connection);
  /// Leaves one channel. False if the connection had not subscribed to it.
  bool leave(Connection* connection, std::string_view name);

  /// The latest cursor up to which this subscriber has received everything.
  [[nodiscard]] Cursor position(const Connection& connection) const;

  /// The subscription of a busy connection to a channel; null if it has none.
  [[nodiscard]] static Subscription* find(Connection* connection, uint32_t channel);

 private:
  uint32_t enter(const Connection& connection, uint32_t channel);
  void leave(Connection* connection, uint32_t channel, uint32_t position);

  Parts parts_;
};

}  // namespace megacomet
