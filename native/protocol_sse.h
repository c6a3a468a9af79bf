// Server-Sent Events: one endless answer of events. Level 8.
#pragma once

#include "protocol.h"

namespace megacomet {

extern const Protocol kSseProtocol;

}  // namespace megacomet
