// Echo: what a peer sends comes back.
#pragma once

#include "connection/protocol.h"

namespace megacomet {

extern const Protocol kEchoProtocol;

}  // namespace megacomet
