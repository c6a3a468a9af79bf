// Long polling: a request waits for the next message, and the client polls again.
#pragma once

#include "connection/protocol.h"

namespace megacomet {

extern const Protocol kPollProtocol;

}  // namespace megacomet
