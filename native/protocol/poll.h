// Long polling: a request waits for the next message, and is asked again.
#pragma once

#include "connection/protocol.h"

namespace megacomet {

extern const Protocol kPollProtocol;

}  // namespace megacomet
