// Entering and leaving channels. See subscriptions.h.
#include "hub/subscriptions.h"

#include <algorithm>
#include <vector>

#include "base/check.h"

namespace megacomet {

Subscription* Subscriptions::find(Connection* connection, uint32_t channel) {
  if (!connection->is_busy()) return nullptr;
  for (Subscription& one : connection->session->subscriptions) {
    if (one.channel == channel) return &one;
  }
  return nullptr;
}

void Subscriptions::subscribe_only(Connection* connection, uint32_t channel) {
  connection->only = {channel, enter(*connection, channel)};
  connection->set_next_wanted(wants_after(parts_.sequence->head));
  change_state(connection, ConnectionState::kSubscribed);
}

void Subscriptions::subscribe(Connection* connection, uint32_t channel, uint64_t number) {
  const uint32_t position = enter(*connection, channel);
  connection->session->subscriptions.push_back({channel, position, wants_after(number)});
}

/// Adds a subscriber to a channel, and returns its position there.
uint32_t Subscriptions::enter(const Connection& connection, uint32_t channel) {
  const uint32_t position = parts_.channels->add(channel, static_cast<uint32_t>(connection.fd()));
  parts_.counters->add(Counter::kSubscriptions);
  parts_.presence->joined(channel, connection);
  return position;
}

/// Removes a subscriber from a channel. The last one takes its position and has to know it.
void Subscriptions::leave(Connection* connection, uint32_t channel, uint32_t position) {
  parts_.counters->subtract(Counter::kSubscriptions);
  const uint32_t moved = parts_.channels->remove(channel, position);
  parts_.presence->left(channel, *connection);
  if (moved == Channels::kNone || moved == static_cast<uint32_t>(connection->fd())) return;
  Connection* other = parts_.connections->at(static_cast<int>(moved));
  if (other->state == ConnectionState::kSubscribed) {
    other->only.position = position;
    return;
  }
  MC_CHECK(other->is_busy());
  for (Subscription& subscription : other->session->subscriptions) {
    if (subscription.channel == channel) subscription.position = position;
  }
}

void Subscriptions::leave_all(Connection* connection) {
  if (connection->state == ConnectionState::kSubscribed) {
    const OnlyChannel only = connection->only;
    leave(connection, only.channel, only.position);
    // The union holds a subscription: cleared before it is read as a pointer.
    connection->session = nullptr;
    change_state(connection, ConnectionState::kOpen);
    return;
  }
  if (!connection->is_busy()) return;
  std::vector<Subscription> subscriptions;
  subscriptions.swap(connection->session->subscriptions);
  for (const Subscription& one : subscriptions) leave(connection, one.channel, one.position);
}

bool Subscriptions::leave(Connection* connection, std::string_view name) {
  const uint32_t channel = parts_.channels->find(name);
  if (channel == Channels::kNone) return false;
  auto& subscriptions = parts_.sessions->acquire(connection)->subscriptions;
  for (size_t at = 0; at < subscriptions.size(); ++at) {
    if (subscriptions[at].channel != channel) continue;
    const uint32_t position = subscriptions[at].position;
    subscriptions.erase(subscriptions.begin() + static_cast<ptrdiff_t>(at));
    leave(connection, channel, position);
    return true;
  }
  return false;
}

Cursor Subscriptions::position(const Connection& connection) const {
  const bool is_busy = connection.is_busy();
  if (is_busy && connection.session->replay.state != ReplayState::kNone) {
    // The missed messages have not arrived here.
    return connection.session->replay.since;
  }
  uint64_t number = parts_.sequence->head;
  const auto hold_back = [&](uint32_t channel, uint32_t next_wanted) {
    parts_.fanout->visit(channel, [&](const Ref<Message>& message) {
      if (is_wanted(next_wanted, message->number)) number = std::min(number, message->number - 1);
    });
  };
  if (connection.state == ConnectionState::kSubscribed) {
    hold_back(connection.only.channel, connection.next_wanted());
  } else if (is_busy) {
    for (const Subscription& one : connection.session->subscriptions) {
      hold_back(one.channel, one.next_wanted);
    }
  }
  return {parts_.sequence->epoch, number};
}

}  // namespace megacomet
