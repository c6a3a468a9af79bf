// Keeping requests until a decision. See pending_request.h.
#include "protocol/pending_request.h"

#include <string>
#include <utility>

#include "connection/input_budget.h"
#include "connection/sender.h"
#include "connection/session.h"
#include "connection/sessions.h"
#include "protocol/http.h"
#include "protocol/http_rejection.h"

namespace megacomet {

namespace {

void end_with(Services& services, Connection* connection, std::string bytes, CloseCause cause) {
  if (!services.sender->send(connection, make_payload(std::move(bytes)))) return;
  services.sender->finish(connection, cause);
}

std::string_view kept_bytes(const Connection& connection) {
  return connection.is_busy() ? std::string_view(connection.session->input) : std::string_view();
}

/// The next request of a client that pipelines, or the first messages of a WebSocket. At most as
/// much as one more request.
void on_bytes(Services& services, Connection* connection, uint8_t* bytes, size_t size) {
  if (connection->is_closing) return;
  const size_t bytes_max = size_t{2} * services.rules->http_head_bytes_max;
  if (kept_bytes(*connection).size() + size > bytes_max) {
    return services.connections->close(connection, CloseCause::kRejected);
  }
  const std::string_view arrived(reinterpret_cast<const char*>(bytes), size);
  Session* session = services.sessions->acquire(connection);
  static_cast<void>(services.connections->keep_input(connection, arrived, &session->input));
}

/// The worker's own deadline for decisions ends the wait, so this one only comes again.
void on_deadline(Services& services, Connection* connection) {
  services.connections->set_deadline(connection, services.rules->heartbeat_s);
}

void on_disconnect(Services& services, Connection* connection, CloseCause cause, std::string_view) {
  if (!is_departure(cause)) return services.sender->finish(connection, cause);
  end_with(services,
           connection,
           http_rejection(services, Rejection::kServer, kept_bytes(*connection), true),
           cause);
}

void on_input_full(Services& services, Connection* connection) {
  std::string bytes = http_input_full(services, kept_bytes(*connection));
  end_with(services, connection, std::move(bytes), CloseCause::kRejected);
}

constexpr Protocol make_protocol() {
  Protocol protocol;
  protocol.on_bytes = on_bytes;
  protocol.on_deadline = on_deadline;
  protocol.on_disconnect = on_disconnect;
  protocol.on_input_full = on_input_full;
  protocol.on_decision = resume_request;
  return protocol;
}

}  // namespace

constexpr Protocol kPendingRequestProtocol = make_protocol();

}  // namespace megacomet
