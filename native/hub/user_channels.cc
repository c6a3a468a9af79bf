// Finding the connections of a user, and changing each. See user_channels.h.
#include "hub/user_channels.h"

#include <algorithm>

#include "connection/session.h"

namespace megacomet {

void UserChannels::change(const frame::UserChannels& order) {
  // Copied: each change may close connections.
  std::vector<ConnectionName> names;
  parts_.access->visit_user(order.user,
                            [&](int fd) { names.push_back(name_of(*parts_.connections->at(fd))); });
  for (const ConnectionName& name : names) {
    Connection* connection = find_connection(parts_.connections, name);
    if (connection != nullptr && !connection->is_closing) change(connection, order);
  }
}

void UserChannels::change(Connection* connection, const frame::UserChannels& order) {
  const Protocol& protocol = *parts_.protocols[connection->protocol];
  if (protocol.on_channels != nullptr) {
    return protocol.on_channels(*parts_.services, connection, {order.channels, order.on != 0});
  }
  // Its channels are those of its request, so it can only end.
  if (order.on != 0 || !has_one_of(*connection, order.channels)) return;
  parts_.owner->disconnect(connection, CloseCause::kKicked, {});
}

bool UserChannels::has_one_of(const Connection& connection,
                              const std::vector<std::string>& names) const {
  const auto is_one = [&](uint32_t channel) {
    const std::string& name = parts_.channels->at(channel).name;
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  if (connection.state == ConnectionState::kSubscribed) return is_one(connection.only.channel);
  if (!connection.is_busy()) return false;
  const std::vector<Subscription>& subscriptions = connection.session->subscriptions;
  const std::vector<uint32_t>& replayed = connection.session->replay.channels;
  return std::any_of(replayed.begin(), replayed.end(), is_one) ||
         std::any_of(subscriptions.begin(), subscriptions.end(), [&](const Subscription& one) {
           return is_one(one.channel);
         });
}

}  // namespace megacomet
