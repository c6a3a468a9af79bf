// Disconnecting clients by order of an operator or of the application.
#pragma once

#include <cstdint>
#include <string_view>

#include "connection/connection.h"
#include "connection/connection_owner.h"
#include "pubsub/channels.h"

namespace megacomet {

class Kicks {
 public:
  Kicks(Slab<Connection>* connections, const Channels* channels, ConnectionOwner* owner)
      : connections_(connections), channels_(channels), owner_(owner) {}
  Kicks(const Kicks&) = delete;
  Kicks& operator=(const Kicks&) = delete;

  /// Disconnects the subscribers of a channel, or all connections if the name is empty. `reason` is
  /// a text for the clients, or empty.
  void kick(std::string_view channel, std::string_view reason);

  /// Disconnects one connection, if it is still open.
  void kick(const ConnectionName& name, std::string_view reason);

 private:
  void kick_all(std::string_view reason);

  Slab<Connection>* connections_;
  const Channels* channels_;
  ConnectionOwner* owner_;
};

}  // namespace megacomet
