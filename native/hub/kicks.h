// Disconnecting clients by order of an operator or of the application.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "connection/connection.h"
#include "connection/connection_owner.h"
#include "hub/crowd_orders.h"
#include "pubsub/channels.h"

namespace megacomet {

class Kicks {
 public:
  struct Parts {
    Slab<Connection>* connections;
    const Channels* channels;
    ConnectionOwner* owner;
    CrowdOrders* crowd;
  };

  explicit Kicks(const Parts& parts) : parts_(parts) {}
  Kicks(const Kicks&) = delete;
  Kicks& operator=(const Kicks&) = delete;

  /// Disconnects the subscribers of a channel, or all connections if the name is empty. `reason` is
  /// a text for the clients, or empty.
  void kick(std::string_view channel, const std::string& reason);

  /// Disconnects one connection. False if it has ended, or ends already.
  [[nodiscard]] bool kick(const ConnectionName& name, std::string_view reason);

 private:
  [[nodiscard]] std::vector<ConnectionName> subscribers(std::string_view channel) const;
  [[nodiscard]] std::vector<ConnectionName> all() const;

  Parts parts_;
};

}  // namespace megacomet
