// The ancestor's long poll: a request gets one message of its mailbox, and the connection ends.
// Level 8.
#pragma once

#include "protocol.h"

namespace megacomet {

extern const Protocol kMailboxProtocol;

}  // namespace megacomet
