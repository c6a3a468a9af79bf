// Channels that the application gives to a user, or takes away: on every connection of the user.
#pragma once

#include <string>
#include <vector>

#include "connection/connection.h"
#include "connection/connection_owner.h"
#include "connection/protocol.h"
#include "hub/access.h"
#include "hub/crowd_orders.h"
#include "pubsub/channels.h"

namespace megacomet {

class UserChannels {
 public:
  struct Parts {
    Slab<Connection>* connections;
    const Channels* channels;
    Access* access;
    ConnectionOwner* owner;
    Services* services;
    const Protocol* const* protocols;
    CrowdOrders* crowd;
  };

  explicit UserChannels(const Parts& parts) : parts_(parts) {}
  UserChannels(const UserChannels&) = delete;
  UserChannels& operator=(const UserChannels&) = delete;

  /// Takes an order about a user.
  void change(const frame::UserChannels& order);

  /// Connections lose a channel, because their token for it is revoked.
  void revoke(const std::string& channel, std::vector<ConnectionName> names);

 private:
  /// The end of a connection with fixed channels.
  struct Ending {
    CloseCause cause;
    const char* reason;
  };

  void change(Connection* connection, const frame::UserChannels& order, const Ending& ending);
  [[nodiscard]] bool has_one_of(const Connection& connection,
                                const std::vector<std::string>& names) const;

  Parts parts_;
};

}  // namespace megacomet
