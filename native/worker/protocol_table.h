// The protocols of a worker, and the ones that a new connection can begin with.
#pragma once

#include <string>

#include "connection/protocol.h"

namespace megacomet {

/// The protocols of MC_PROTOCOLS, in its order.
extern const Protocol* const kProtocols[];

/// The index of the protocol with this choice of `--protocol`; -1 for anything else.
[[nodiscard]] int find_protocol(const std::string& name);

}  // namespace megacomet
