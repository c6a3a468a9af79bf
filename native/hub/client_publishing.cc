// Limits of clients' messages, and the manager's answers. See client_publishing.h.
#include "hub/client_publishing.h"

#include <string_view>

#include "os/sys.h"

namespace megacomet {

PublishPace ClientPublishing::count(const Connection& connection) {
  const std::string_view user = parts_.access->is_on() ? parts_.access->user(connection.fd()) : "";
  if (!user.empty() && !parts_.limits->take_publish(user)) return PublishPace::kUserTooFast;
  if (rates_.count_client(name_of(connection), sys::monotonic_ns())) return PublishPace::kAllowed;
  parts_.counters->add(Counter::kClientPublishesLimitedTotal);
  return PublishPace::kTooFast;
}

bool ClientPublishing::publish(const Connection& connection, frame::Message message) {
  if (parts_.control->is_full()) return false;
  if (!rates_.count_all(sys::monotonic_ns())) {
    parts_.counters->add(Counter::kAllClientsPublishesLimitedTotal);
    return false;
  }
  const ConnectionName name = name_of(connection);
  message.fd = name.fd;
  message.generation = name.generation;
  message.token = parts_.access->token(connection);
  parts_.control->send(message);
  return true;
}

/// The connection of that name; null if it has closed, or receives nothing more.
Connection* ClientPublishing::open_client(const ConnectionName& name) {
  Connection* connection = find_connection(parts_.connections, name);
  return connection == nullptr || connection->is_closing ? nullptr : connection;
}

void ClientPublishing::on_rejected(const frame::Rejected& rejected) {
  Connection* connection = open_client({rejected.fd, rejected.generation});
  if (connection == nullptr) return;
  const Protocol& protocol = protocol_of(*connection);
  if (protocol.on_rejected == nullptr) return;
  protocol.on_rejected(*parts_.services, connection, rejected);
}

void ClientPublishing::on_published(const frame::Published& published) {
  Connection* connection = open_client({published.fd, published.generation});
  if (connection == nullptr) return;
  const Protocol& protocol = protocol_of(*connection);
  if (protocol.on_published == nullptr) return;
  protocol.on_published(*parts_.services, connection, published);
}

}  // namespace megacomet
