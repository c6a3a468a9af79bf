// Server-Sent Events: an endless response of events.
#pragma once

#include "connection/protocol.h"

namespace megacomet {

extern const Protocol kSseProtocol;

}  // namespace megacomet
