// WebSocket: subscribing, publishing and receiving over one connection.
// The JSON that clients and server exchange is described in docs/protocol.md.
#pragma once

#include "connection/protocol.h"

namespace megacomet {

extern const Protocol kWebSocketProtocol;
/// Sends back every message as it came: for conformance tests.
extern const Protocol kWebSocketEchoProtocol;

}  // namespace megacomet
