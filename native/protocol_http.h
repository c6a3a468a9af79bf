// HTTP/1.1 on a comet server's port: reads requests and hands them to their transports. Level 8.
#pragma once

#include "protocol.h"

namespace megacomet {

extern const Protocol kHttpProtocol;

}  // namespace megacomet
