// The addresses that proxies append to a request: X-Forwarded-For, and Forwarded (RFC 7239). Pure.
#pragma once

#include <string_view>
#include <vector>

#include "base/ip_address.h"
#include "codec/http_codec.h"

namespace megacomet {

/// The nodes of the chain from the client to the last proxy, as texts. X-Forwarded-For counts where
/// both fields are present: most proxies set that one, and pass a Forwarded of their client on.
[[nodiscard]] std::vector<std::string_view> forwarded_chain(const HttpHead& head);

/// Reads a node: an address, perhaps in brackets, perhaps with a port. False for "unknown" and for
/// names (RFC 7239 6).
[[nodiscard]] bool parse_node(std::string_view node, IpAddress* out);

/// The address of the client: the last one of the chain that is not trusted, because a client can
/// write anything before it. If all are trusted it is the first one. False if the chain has none,
/// or has something else before one is found.
template <typename IsTrusted>
[[nodiscard]] bool find_client(const HttpHead& head, IsTrusted is_trusted, IpAddress* out) {
  const std::vector<std::string_view> chain = forwarded_chain(head);
  bool has_one = false;
  for (auto node = chain.rbegin(); node != chain.rend(); ++node) {
    IpAddress address;
    if (!parse_node(*node, &address)) return has_one;
    *out = address;
    has_one = true;
    if (!is_trusted(address)) return true;
  }
  return has_one;
}

}  // namespace megacomet
