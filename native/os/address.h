// Numeric socket addresses, read from text for binding and for dialing.
// Names are never looked up here: a resolver would block the loop.
#pragma once

#include <cstdint>
#include <string>

#include <sys/socket.h>

namespace megacomet {

struct Address {
  sockaddr_storage storage;
  uint32_t bytes;

  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

/// Reads a numeric IPv4 or IPv6 host. False if the text is neither.
[[nodiscard]] bool parse_host(const std::string& host, uint16_t port, Address* out);

/// Takes the path of a unix socket; an empty one is an address without a name. False if it is too
/// long for the kernel, or holds a zero byte.
[[nodiscard]] bool parse_path(const std::string& path, Address* out);

/// Reads "HOST PORT" or "unix PATH", the form of the control stream.
[[nodiscard]] bool parse_address(const std::string& text, Address* out);

}  // namespace megacomet
