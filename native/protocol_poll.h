// Long polling: a request waits for the next message, and is asked again. Level 8.
#pragma once

#include "protocol.h"

namespace megacomet {

extern const Protocol kPollProtocol;

}  // namespace megacomet
