// The TLS handshake of a connection, until its records carry the protocol of the listener.
#pragma once

#include "connection/protocol.h"

namespace megacomet {

extern const Protocol kTlsHandshakeProtocol;

}  // namespace megacomet
