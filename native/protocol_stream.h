// A stream of JSON lines: one endless answer. Level 8.
#pragma once

#include "protocol.h"

namespace megacomet {

extern const Protocol kStreamProtocol;

}  // namespace megacomet
