// Names the protocol of a peer that connected to the wrong port, from its first bytes. Pure.
#pragma once

#include <cstdint>
#include <string_view>

namespace megacomet {

enum class ForeignProtocol : uint8_t {
  kNone,
  /// TLS at a plain port.
  kTls,
  kHttp2,
  kProxyHeader,
  kSsh,
  kBinary,
  kHttpAtEcho,
  kHttpAtTls,
  kTextAtTls,
};

/// The protocol whose first bytes these are; kNone if they look like none of those that clients and
/// proxies send to a plain HTTP port by mistake.
[[nodiscard]] ForeignProtocol foreign_protocol(std::string_view bytes);

/// The same at an echo server: HTTP and TLS. One comparison for most first bytes.
[[nodiscard]] ForeignProtocol foreign_at_echo(std::string_view bytes);

/// The same at a port with TLS: anything but a handshake, from the first byte.
[[nodiscard]] ForeignProtocol foreign_at_tls(std::string_view bytes);

/// The name of a protocol with advice, for the log.
[[nodiscard]] std::string_view name_of(ForeignProtocol protocol);

}  // namespace megacomet
