// Reading numeric addresses. See address.h.
#include "os/address.h"

#include <charconv>
#include <cstring>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

namespace megacomet {

namespace {

constexpr char kUnixPrefix[] = "unix ";

}  // namespace

bool parse_host(const std::string& host, uint16_t port, Address* out) {
  *out = Address{};
  // inet_pton() would stop at the zero byte and ignore the rest.
  if (host.find('\0') != std::string::npos) return false;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&out->storage);
  if (::inet_pton(AF_INET, host.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    out->bytes = sizeof *v4;
    return true;
  }
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&out->storage);
  if (::inet_pton(AF_INET6, host.c_str(), &v6->sin6_addr) != 1) return false;
  v6->sin6_family = AF_INET6;
  v6->sin6_port = htons(port);
  out->bytes = sizeof *v6;
  return true;
}

bool parse_path(const std::string& path, Address* out) {
  *out = Address{};
  auto* local = reinterpret_cast<sockaddr_un*>(&out->storage);
  if (path.size() >= sizeof local->sun_path || path.find('\0') != std::string::npos) return false;
  local->sun_family = AF_UNIX;
  std::memcpy(local->sun_path, path.data(), path.size());
  out->bytes = sizeof *local;
  return true;
}

std::string peer_host(int fd) {
  sockaddr_storage storage{};
  socklen_t bytes = sizeof storage;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&storage), &bytes) != 0) return {};
  char text[INET6_ADDRSTRLEN] = {};
  if (storage.ss_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(&storage);
    ::inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
  } else if (storage.ss_family == AF_INET6) {
    const auto& address = reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_addr;
    // The last four bytes of ::ffff:1.2.3.4 (RFC 4291 2.5.5.2).
    if (IN6_IS_ADDR_V4MAPPED(&address)) {
      ::inet_ntop(AF_INET, &address.s6_addr[12], text, sizeof text);
    } else {
      ::inet_ntop(AF_INET6, &address, text, sizeof text);
    }
  }
  return text;
}

bool parse_address(const std::string& text, Address* out) {
  if (text.rfind(kUnixPrefix, 0) == 0) return parse_path(text.substr(sizeof kUnixPrefix - 1), out);
  const size_t space = text.find(' ');
  if (space == std::string::npos) return false;
  uint16_t port = 0;
  const char* end = text.data() + text.size();
  const auto [read, error] = std::from_chars(text.data() + space + 1, end, port);
  if (error != std::errc() || read != end) return false;
  return parse_host(text.substr(0, space), port, out);
}

bool read_peer(const sockaddr_storage& peer, IpAddress* out) {
  if (peer.ss_family == AF_INET) {
    *out = IpAddress::of_ipv4(&reinterpret_cast<const sockaddr_in&>(peer).sin_addr);
    return true;
  }
  if (peer.ss_family != AF_INET6) return false;
  *out = IpAddress::of_ipv6(&reinterpret_cast<const sockaddr_in6&>(peer).sin6_addr);
  return true;
}

}  // namespace megacomet
