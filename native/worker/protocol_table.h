// The protocols of a worker, and the ones that a new connection can begin with.
#pragma once

#include <string>

#include "connection/protocol.h"

namespace megacomet {

/// In the order of ProtocolId. A protocol is added here.
extern const Protocol* const kProtocols[];

/// The index of the protocol with this name; -1 for an unknown name, and for a protocol that only
/// takes over a connection from HTTP.
[[nodiscard]] int find_protocol(const std::string& name);

}  // namespace megacomet
