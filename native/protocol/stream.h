// A stream of JSON lines: one endless answer.
#pragma once

#include "connection/protocol.h"

namespace megacomet {

extern const Protocol kStreamProtocol;

}  // namespace megacomet
