// The PROXY header that a trusted balancer sends before its client's first byte. The protocol of
// the listener reads the bytes after it.
#pragma once

#include "connection/protocol.h"

namespace megacomet {

extern const Protocol kProxyHeaderProtocol;

}  // namespace megacomet
