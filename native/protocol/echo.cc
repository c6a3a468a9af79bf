// The echo protocol. See echo.h.
#include "protocol/echo.h"

#include <string_view>

#include "codec/foreign_protocol.h"
#include "connection/rejection_log.h"
#include "connection/sender.h"

namespace megacomet {

namespace {

void on_bytes(Services& services, Connection* connection, uint8_t* bytes, size_t size) {
  const ForeignProtocol foreign = foreign_at_echo({reinterpret_cast<const char*>(bytes), size});
  if (foreign != ForeignProtocol::kNone) services.rejections->note_protocol(foreign);
  // Counted first: sending may close the connection.
  services.counters->add(Counter::kEchoedTotal);
  services.sender->send_copy(connection, bytes, size);
}

constexpr Protocol make_protocol() {
  Protocol protocol;
  protocol.on_bytes = on_bytes;
  protocol.uses_idle_timeout = true;
  protocol.pauses_reading = true;
  return protocol;
}

}  // namespace

constexpr Protocol kEchoProtocol = make_protocol();

}  // namespace megacomet
