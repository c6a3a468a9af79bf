// Reading the header, and counting the client that it names. See proxy_header.h.
#include "protocol/proxy_header.h"

#include <string>
#include <utility>

#include "codec/proxy_codec.h"
#include "connection/client_limits.h"
#include "connection/input_budget.h"
#include "connection/session.h"
#include "connection/sessions.h"

namespace megacomet {

namespace {

/// A malformed header is not answered: its sender is not a client (section 2 of the specification).
void reject(Services& services, Connection* connection) {
  services.connections->close(connection, CloseCause::kProxyHeader);
}

void on_accept(Services& services, Connection* connection) {
  services.connections->set_deadline(connection, services.limits->rules().proxy_timeout_s);
}

/// The header is complete: the protocol of the listener begins with the bytes after it.
void begin_protocol(Services& services,
                    Connection* connection,
                    const ProxyHeader& header,
                    std::string rest) {
  const uint8_t protocol = connection->mode;
  if (header.has_source) {
    const Allowance allowance = services.limits->reveal(connection, header.source);
    if (allowance != Allowance::kGranted) {
      return services.connections->reject(connection, protocol, rejection_of(allowance), rest);
    }
  }
  services.sessions->release(connection);
  const uint32_t generation = connection->generation;
  services.connections->begin(connection, protocol);
  if (rest.empty() || connection->generation != generation) return;
  services.connections->feed(connection, std::move(rest));
}

void on_bytes(Services& services, Connection* connection, uint8_t* bytes, size_t size) {
  std::string text;
  if (connection->is_busy()) text = services.input_budget->take(&connection->session->input);
  text.append(reinterpret_cast<const char*>(bytes), size);
  const ProxyHeader header = parse_proxy_header(text);
  switch (header.status) {
    case ProxyStatus::kBad:
      return reject(services, connection);
    case ProxyStatus::kIncomplete: {
      std::string& kept = services.sessions->acquire(connection)->input;
      static_cast<void>(services.connections->keep_input(connection, text, &kept));
      return;
    }
    case ProxyStatus::kComplete:
      return begin_protocol(services, connection, header, text.substr(header.consumed));
  }
}

constexpr Protocol make_protocol() {
  Protocol protocol;
  protocol.on_accept = on_accept;
  protocol.on_bytes = on_bytes;
  protocol.on_deadline = reject;
  protocol.on_input_full = reject;
  protocol.is_read_at_accept = true;
  return protocol;
}

}  // namespace

constexpr Protocol kProxyHeaderProtocol = make_protocol();

}  // namespace megacomet
