// Numeric socket addresses, read from text for binding and for dialing.
// Host names are not resolved: a resolver would block the loop.
#pragma once

#include <cstdint>
#include <string>

#include <sys/socket.h>

#include "base/ip_address.h"

namespace megacomet {

struct Address {
  sockaddr_storage storage;
  uint32_t bytes;

  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

/// Reads a numeric IPv4 or IPv6 host. False if the text is neither.
[[nodiscard]] bool parse_host(const std::string& host, uint16_t port, Address* out);

/// Reads the path of a unix socket. An empty path gives an address without a name. False if the
/// path is too long for the kernel or has a zero byte.
[[nodiscard]] bool parse_path(const std::string& path, Address* out);

/// The numeric host of a socket's peer; an IPv4 address also where an IPv6 socket accepted it.
/// Empty for a unix socket, and for a peer that has left.
[[nodiscard]] std::string peer_host(int fd);

/// Reads "HOST PORT" or "unix PATH", as frames have them.
[[nodiscard]] bool parse_address(const std::string& text, Address* out);

/// The IP address of a peer. False for a peer of a unix socket, which has none.
[[nodiscard]] bool read_peer(const sockaddr_storage& peer, IpAddress* out);

}  // namespace megacomet
