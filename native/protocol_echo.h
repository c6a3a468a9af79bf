// Echo: what a peer sends comes back. Level 8.
#pragma once

#include "protocol.h"

namespace megacomet {

extern const Protocol kEchoProtocol;

}  // namespace megacomet
