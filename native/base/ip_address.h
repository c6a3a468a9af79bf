// IP addresses and networks, as values. An IPv4 address is its mapped IPv6 address (RFC 4291
// 2.5.5.2), so that a peer is the same over both kinds of socket. Pure.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace megacomet {

struct IpAddress {
  std::array<uint8_t, 16> bytes{};

  [[nodiscard]] bool operator==(const IpAddress& other) const { return bytes == other.bytes; }

  /// From the 4 bytes of an IPv4 address.
  [[nodiscard]] static IpAddress of_ipv4(const void* four);
  /// From the 16 bytes of an IPv6 address.
  [[nodiscard]] static IpAddress of_ipv6(const void* sixteen);

  [[nodiscard]] bool is_ipv4() const;
  [[nodiscard]] bool is_loopback() const;
  /// Whether no peer of the Internet can have it: loopback, private, shared, link-local or unique
  /// local (RFC 1918, 4193, 4291, 6598). Balancers of a data centre have such addresses.
  [[nodiscard]] bool is_private() const;

  /// The unit by which clients are counted: an IPv4 address, or the /64 of an IPv6 address, because
  /// a client chooses the other 64 bits itself (RFC 4862, RFC 8981).
  [[nodiscard]] IpAddress counted() const;
};

/// The first `bits` of an address; those of IPv4 networks count from 96.
struct IpNetwork {
  IpAddress first;
  uint32_t bits = 128;

  [[nodiscard]] bool has(const IpAddress& address) const;
};

/// Reads an address without port, zone or brackets. False if it is not one.
[[nodiscard]] bool parse_ip(std::string_view text, IpAddress* out);

/// Reads an address of one family; `out` of the other family is an error.
[[nodiscard]] bool parse_ipv4(std::string_view text, IpAddress* out);
[[nodiscard]] bool parse_ipv6(std::string_view text, IpAddress* out);

/// Reads "ADDRESS/BITS", or an address as the network that has only this address.
[[nodiscard]] bool parse_network(std::string_view text, IpNetwork* out);

/// The usual text of an address (RFC 5952); a mapped one as IPv4.
[[nodiscard]] std::string text_of(const IpAddress& address);

}  // namespace megacomet
