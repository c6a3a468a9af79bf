// Channels that the application gives to a user, or takes away: on every connection of the user.
#pragma once

#include <string>
#include <vector>

#include "connection/connection.h"
#include "connection/connection_owner.h"
#include "connection/protocol.h"
#include "hub/access.h"
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
  };

  explicit UserChannels(const Parts& parts) : parts_(parts) {}
  UserChannels(const UserChannels&) = delete;
  UserChannels& operator=(const UserChannels&) = delete;

  void change(const frame::UserChannels& order);

 private:
  void change(Connection* connection, const frame::UserChannels& order);
  [[nodiscard]] bool has_one_of(const Connection& connection,
                                const std::vector<std::string>& names) const;

  Parts parts_;
};

}  // namespace megacomet
