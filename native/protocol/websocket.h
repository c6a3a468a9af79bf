// WebSocket: subscribing, publishing and receiving over one connection.
// docs/protocol.md describes the JSON of both sides.
#pragma once

#include "connection/protocol.h"

namespace megacomet {

extern const Protocol kWebSocketProtocol;
/// Sends back every message unchanged: for conformance tests.
extern const Protocol kWebSocketEchoProtocol;

}  // namespace megacomet
