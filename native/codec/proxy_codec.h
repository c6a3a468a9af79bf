// The header of the PROXY protocol, versions 1 and 2, which a balancer sends before the bytes of
// its client (haproxy.org/download/3.0/doc/proxy-protocol.txt). Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/ip_address.h"

namespace megacomet {

enum class ProxyStatus : uint8_t { kComplete, kIncomplete, kBad };

struct ProxyHeader {
  ProxyStatus status = ProxyStatus::kIncomplete;
  /// If complete: its bytes. The client's own bytes follow.
  size_t consumed = 0;
  /// Whether it names the client. A balancer that checks the server's health speaks for itself
  /// (LOCAL, UNKNOWN), and a client of a unix socket has no address.
  bool has_source = false;
  IpAddress source;
};

/// Reads the header at the beginning of `bytes`, which are all that the peer has sent. A header
/// that can no longer become valid is bad at its first wrong byte.
[[nodiscard]] ProxyHeader parse_proxy_header(std::string_view bytes);

}  // namespace megacomet
