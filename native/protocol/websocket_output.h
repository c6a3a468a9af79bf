// Frames that a WebSocket connection sends.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "codec/websocket_codec.h"
#include "connection/services.h"

namespace megacomet {

/// A frame, compressed if this connection agreed on that and it saves bytes.
[[nodiscard]] std::string websocket_data_frame(Services& services,
                                               const Connection& connection,
                                               WebSocketOpcode opcode,
                                               std::string_view content);

// Each returns false if the connection closed.

bool send_websocket_frame(Services& services, Connection* connection, std::string frame);
bool send_websocket_text(Services& services, Connection* connection, std::string_view text);

/// Sends a Close frame, and closes the connection when its send queue is empty.
void close_websocket(Services& services,
                     Connection* connection,
                     uint16_t code,
                     std::string_view reason,
                     CloseCause cause);

}  // namespace megacomet
