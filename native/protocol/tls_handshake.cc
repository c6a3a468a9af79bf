// Passing bytes to the handshake, and its deadline. See tls_handshake.h.
#include "protocol/tls_handshake.h"

#include <string>
#include <utility>

#include "codec/foreign_protocol.h"
#include "connection/rejection_log.h"
#include "connection/sender.h"
#include "protocol/http_answer.h"

namespace megacomet {

namespace {

/// A silent peer is not answered: it has no TLS in which an alert would be understood.
void reject(Services& services, Connection* connection) {
  services.connections->close(connection, CloseCause::kTls);
}

void on_accept(Services& services, Connection* connection) {
  services.connections->set_deadline(connection, bounds::kTlsHandshakeSeconds);
}

/// A peer does not begin with a handshake. The sender of a request gets an answer that names its
/// mistake; others would not understand one.
void reject_foreign(Services& services, Connection* connection, ForeignProtocol protocol) {
  services.rejections->note_protocol(protocol);
  if (protocol != ForeignProtocol::kHttpAtTls) return reject(services, connection);
  AnswerOptions options;
  options.keeps_alive = false;
  std::string bytes = http_error(400, "this port speaks TLS; use https or wss", options);
  if (!services.sender->send(connection, make_payload(std::move(bytes)))) return;
  services.sender->finish(connection, CloseCause::kRejected);
}

void on_bytes(Services& services, Connection* connection, uint8_t* bytes, size_t size) {
  if (!services.connections->is_shaking(*connection)) {
    const auto protocol = foreign_at_tls({reinterpret_cast<const char*>(bytes), size});
    if (protocol != ForeignProtocol::kNone) return reject_foreign(services, connection, protocol);
  }
  services.connections->shake(connection, bytes, size);
}

constexpr Protocol make_protocol() {
  Protocol protocol;
  protocol.on_accept = on_accept;
  protocol.on_bytes = on_bytes;
  protocol.on_deadline = reject;
  protocol.is_read_at_accept = true;
  return protocol;
}

}  // namespace

constexpr Protocol kTlsHandshakeProtocol = make_protocol();

}  // namespace megacomet
