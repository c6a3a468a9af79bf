// Finding the connections of a user, and changing each. See user_channels.h.
#include "hub/user_channels.h"

#include <algorithm>
#include <utility>

#include "connection/session.h"

namespace megacomet {

void UserChannels::change(const frame::UserChannels& order) {
  std::vector<ConnectionName> names;
  parts_.access->visit_user(order.user,
                            [&](int fd) { names.push_back(name_of(*parts_.connections->at(fd))); });
  parts_.crowd->add(std::move(names), [this, order](Connection* connection) {
    change(connection, order, {CloseCause::kKicked, ""});
  });
}

void UserChannels::revoke(const std::string& channel, std::vector<ConnectionName> names) {
  const Ending ending{CloseCause::kExpired, describe(TokenFault::kRevoked)};
  const frame::UserChannels order{"", {channel}, 0};
  parts_.crowd->add(std::move(names), [this, order, ending](Connection* connection) {
    change(connection, order, ending);
  });
}

void UserChannels::change(Connection* connection,
                          const frame::UserChannels& order,
                          const Ending& ending) {
  const Protocol& protocol = *parts_.protocols[connection->protocol];
  if (protocol.on_channels != nullptr) {
    return protocol.on_channels(*parts_.services, connection, {order.channels, order.on != 0});
  }
  // Its channels are those of its request, so it can only end.
  if (order.on != 0 || !has_one_of(*connection, order.channels)) return;
  parts_.owner->disconnect(connection, ending.cause, ending.reason);
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
