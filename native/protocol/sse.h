// Server-Sent Events: one endless answer of events.
#pragma once

#include "connection/protocol.h"

namespace megacomet {

extern const Protocol kSseProtocol;

}  // namespace megacomet
