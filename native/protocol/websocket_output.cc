// Compressing, sending and closing. See websocket_output.h.
#include "protocol/websocket_output.h"

#include <utility>

#include "connection/sender.h"
#include "pubsub/message_codec.h"

namespace megacomet {

namespace {

/// Deflate does not shorten a text of fewer bytes.
constexpr size_t kDeflateBytesMin = 64;

}  // namespace

std::string websocket_data_frame(Services& services,
                                 const Connection& connection,
                                 WebSocketOpcode opcode,
                                 std::string_view content) {
  if (connection.mode != 0 && content.size() >= kDeflateBytesMin) {
    std::string deflated;
    const DeflateFault fault = services.deflate->deflate(content, connection.mode, &deflated);
    if (fault == DeflateFault::kNone && deflated.size() < content.size()) {
      return websocket_frame(opcode, deflated, true);
    }
  }
  return websocket_frame(opcode, content);
}

bool send_websocket_frame(Services& services, Connection* connection, std::string frame) {
  return services.sender->send(connection, make_payload(std::move(frame)));
}

bool send_websocket_text(Services& services, Connection* connection, std::string_view text) {
  return send_websocket_frame(
      services,
      connection,
      websocket_data_frame(services, *connection, WebSocketOpcode::kText, text));
}

void close_websocket(Services& services,
                     Connection* connection,
                     uint16_t code,
                     std::string_view reason,
                     CloseCause cause) {
  uint8_t body[kWebSocketControlBytesMax];
  const size_t size = encode_websocket_close({code, reason}, body);
  const std::string_view content(reinterpret_cast<const char*>(body), size);
  if (send_websocket_frame(
          services, connection, websocket_frame(WebSocketOpcode::kClose, content))) {
    services.sender->finish(connection, cause);
  }
}

}  // namespace megacomet
