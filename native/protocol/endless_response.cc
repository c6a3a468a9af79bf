// The head of an endless response. See endless_response.h.
#include "protocol/endless_response.h"

namespace megacomet {

void open_endless_response(Services& services,
                           Connection* connection,
                           std::string head,
                           const std::vector<std::string>& channels,
                           const Cursor* since) {
  services.connections->set_deadline(connection, services.rules->heartbeat_s);
  services.sender->gather(connection);
  services.sender->send(connection, make_payload(std::move(head)));
  services.subscriptions->subscribe(connection, channels, since);
  const bool awaits_replay =
      connection->is_busy() && connection->session->replay.state != ReplayState::kNone;
  if (!awaits_replay) return services.sender->flush_gathered();
  connection->session->head = services.sender->take_gathered();
}

std::string take_unsent_head(Connection* connection) {
  return connection->is_busy() ? std::exchange(connection->session->head, {}) : std::string();
}

}  // namespace megacomet
