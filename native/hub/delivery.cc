// Order, duplicates and gathering of deliveries. See delivery.h.
#include "hub/delivery.h"

#include <algorithm>

#include "base/check.h"
#include "connection/sender.h"
#include "connection/session.h"
#include "hub/subscriptions.h"

namespace megacomet {

/// The numbers of the stream rise. False for one that does not.
bool Delivery::advance(uint64_t number) {
  if (number <= parts_.sequence->head) return false;
  parts_.window->advance(number);
  parts_.sequence->head = number;
  return true;
}

void Delivery::publish(const Ref<Message>& message) {
  if (!advance(message->number)) return;
  parts_.counters->add(Counter::kMessagesTotal);
  parts_.channels->match(message->channel, [&](uint32_t index) {
    const Channel& channel = parts_.channels->at(index);
    // Before the channel is live, the replay page that makes it live covers the message.
    if (channel.is_live && message->is_ephemeral()) {
      parts_.channels->skip(index, message->number);
    } else if (channel.is_live) {
      parts_.channels->remember(index, message);
    }
    if (!channel.subscribers.empty()) parts_.fanout->add(index, message);
  });
}

void Delivery::report_loss(uint64_t number, uint32_t spread_ms) {
  if (!advance(number)) return;
  const Ref<Message> notice = make_ref<Message>();
  notice->epoch = parts_.sequence->epoch;
  notice->number = number;
  notice->spread_ms = spread_ms;
  notice->is_loss_notice = true;
  parts_.fanout->add(Fanout::kAllChannels, notice);
}

/// Whether a connection misses nothing up to `number`; true if it is not a subscriber.
bool Delivery::has_all(const Connection& connection, uint64_t number) {
  if (connection.state == ConnectionState::kSubscribed) {
    return !is_wanted(connection.next_wanted(), number);
  }
  if (!connection.is_busy()) return true;
  const std::vector<Subscription>& all = connection.session->subscriptions;
  return std::none_of(all.begin(), all.end(), [number](const Subscription& one) {
    return is_wanted(one.next_wanted, number);
  });
}

/// Marks a message as received by a subscriber. False if it has received it, or has left.
bool Delivery::take(Connection* connection, uint32_t channel, uint64_t number) {
  if (connection->state == ConnectionState::kSubscribed) {
    const bool is_member = connection->only.channel == channel;
    if (!is_member || !is_wanted(connection->next_wanted(), number)) return false;
    connection->set_next_wanted(wants_after(number));
    return true;
  }
  Subscription* found = Subscriptions::find(connection, channel);
  if (found == nullptr || !is_wanted(found->next_wanted, number)) return false;
  found->next_wanted = wants_after(number);
  return true;
}

void Delivery::on_fanout(uint32_t channel, uint32_t fd, Message& message) {
  Connection* connection = parts_.connections->at(static_cast<int>(fd));
  if (channel == Fanout::kAllChannels) {
    if (!has_all(*connection, message.number)) flush_pending(connection, message.number);
    return;
  }
  const Fanout& fanout = *parts_.fanout;
  // A message that goes out at once is not counted as unfinished.
  bool has_pending = fanout.unfinished(channel) > 1;
  if (connection->state == ConnectionState::kSubscribed) {
    if (has_pending && !is_wanted(connection->next_wanted(), message.number)) return;
  } else {
    MC_CHECK(connection->is_busy());
    const Subscription* found = Subscriptions::find(connection, channel);
    MC_CHECK(found != nullptr);
    if (!is_wanted(found->next_wanted, message.number)) return;
    const bool has_others = connection->session->subscriptions.size() > 1;
    has_pending = has_pending || (has_others && fanout.unfinished() > 0);
  }
  if (has_pending) return flush_pending(connection, message.number);
  if (take(connection, channel, message.number)) deliver(connection, message);
}

std::vector<Delivery::Pending> Delivery::find_pending(const Connection& connection) const {
  std::vector<Pending> pending;
  const auto collect = [&](uint32_t channel, uint32_t next_wanted) {
    parts_.fanout->visit(channel, [&](const Ref<Message>& message) {
      if (is_wanted(next_wanted, message->number)) pending.push_back({channel, message});
    });
  };
  if (connection.state == ConnectionState::kSubscribed) {
    collect(connection.only.channel, connection.next_wanted());
    return pending;
  }
  for (const Subscription& one : connection.session->subscriptions) {
    collect(one.channel, one.next_wanted);
  }
  std::sort(pending.begin(), pending.end(), [](const Pending& one, const Pending& other) {
    return one.message->number < other.message->number;
  });
  return pending;
}

/// Sends all pending messages of a subscriber, over all its channels, in one write.
///
/// Those below `number` on other channels must precede it, because a cursor covers all channels.
/// Those above are ready, and each write is a packet: a server that falls behind sends fewer
/// packets. Only a message that is spread over a time, and those after it, are left.
void Delivery::flush_pending(Connection* connection, uint64_t number) {
  std::vector<Pending> pending = find_pending(*connection);
  const auto is_spread = [number](const Pending& one) {
    return one.message->number > number && one.message->spread_ms != 0;
  };
  pending.erase(std::find_if(pending.begin(), pending.end(), is_spread), pending.end());
  const uint32_t generation = connection->generation;
  const bool is_gathered = pending.size() > 1 && !protocol_of(*connection).ends_with_message;
  if (is_gathered) parts_.services->sender->gather(connection);
  for (const Pending& one : pending) {
    if (connection->generation != generation) break;
    // A poll leaves all its channels with its first message.
    if (!take(connection, one.channel, one.message->number)) continue;
    deliver(connection, *one.message);
  }
  if (is_gathered) parts_.services->sender->flush_gathered();
}

void Delivery::flush(Connection* connection) {
  const bool is_subscriber = connection->state == ConnectionState::kSubscribed ||
                             (connection->is_busy() && !connection->session->subscriptions.empty());
  if (is_subscriber && parts_.fanout->unfinished() > 0) flush_pending(connection, UINT64_MAX);
}

void Delivery::deliver(Connection* connection, Message& message) {
  if (connection->is_busy()) {
    Session* session = connection->session;
    // A name and a pattern that matches it may both deliver the message.
    if (connection->is_closing || message.number <= session->delivered_number) return;
    session->delivered_number = message.number;
  }
  parts_.counters->add(message.is_loss_notice ? Counter::kLossNoticesTotal
                                              : Counter::kDeliveredTotal);
  send(connection, message);
}

void Delivery::send(Connection* connection, Message& message) {
  const Protocol& protocol = protocol_of(*connection);
  Services& services = *parts_.services;
  const Ref<Payload> payload = protocol.encode(services, *connection, message);
  if (protocol.ends_with_message) {
    if (!services.sender->send(connection, payload)) return;
    return protocol.on_message_sent(services, connection);
  }
  // No policy for slow consumers may drop the notice of a loss.
  const bool is_open = message.is_loss_notice
                           ? services.sender->send(connection, payload)
                           : services.sender->send_message(connection, payload, message.policy());
  if (!is_open) return;
  if (protocol.message_is_heartbeat) services.sender->postpone_heartbeat(connection);
}

}  // namespace megacomet
