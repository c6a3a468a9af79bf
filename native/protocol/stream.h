// A stream of JSON lines: an endless response.
#pragma once

#include "connection/protocol.h"

namespace megacomet {

extern const Protocol kStreamProtocol;

}  // namespace megacomet
