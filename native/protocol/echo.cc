// The echo protocol. See protocol_echo.h.
#include "protocol/echo.h"

namespace megacomet {

namespace {

void on_bytes(Services& services, Connection* connection, uint8_t* bytes, size_t size) {
  // Counted first: sending may close the connection.
  services.counters().add(Counter::kEchoedTotal);
  services.send(connection, bytes, size);
}

}  // namespace

const Protocol kEchoProtocol = {"echo", on_bytes};

}  // namespace megacomet
