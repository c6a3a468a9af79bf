// Echo: sends back the bytes that a peer sends.
#pragma once

#include "connection/protocol.h"

namespace megacomet {

extern const Protocol kEchoProtocol;

}  // namespace megacomet
