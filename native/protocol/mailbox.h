// The legacy long poll: a request receives one message of its mailbox, and the connection ends.
#pragma once

#include "connection/protocol.h"

namespace megacomet {

extern const Protocol kMailboxProtocol;

}  // namespace megacomet
