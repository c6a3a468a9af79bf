// Requests that wait for the application's decision: nothing is sent meanwhile, and input is kept.
#pragma once

#include "connection/protocol.h"

namespace megacomet {

extern const Protocol kPendingRequestProtocol;

}  // namespace megacomet
