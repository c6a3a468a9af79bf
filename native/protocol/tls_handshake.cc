// Passing bytes to the handshake, and its deadline. See tls_handshake.h.
#include "protocol/tls_handshake.h"

namespace megacomet {

namespace {

/// A silent peer is not answered: it has no TLS in which an alert would be understood.
void reject(Services& services, Connection* connection) {
  services.connections->close(connection, CloseCause::kTls);
}

void on_accept(Services& services, Connection* connection) {
  services.connections->set_deadline(connection, bounds::kTlsHandshakeSeconds);
}

void on_bytes(Services& services, Connection* connection, uint8_t* bytes, size_t size) {
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
