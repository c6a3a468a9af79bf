// Names the protocol of a peer that connected to the wrong port, from its first bytes. Pure.
#pragma once

#include <string_view>

namespace megacomet {

/// The protocol whose first bytes these are, with advice; empty if they look like none of those
/// that clients and proxies send to a plain HTTP port by mistake.
[[nodiscard]] std::string_view foreign_protocol(std::string_view bytes);

/// The same at an echo server: HTTP and TLS. One comparison for most first bytes.
[[nodiscard]] std::string_view foreign_at_echo(std::string_view bytes);

}  // namespace megacomet
