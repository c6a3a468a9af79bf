// First bytes of protocols. See foreign_protocol.h.
#include "codec/foreign_protocol.h"

namespace megacomet {

namespace {

bool starts_with(std::string_view bytes, std::string_view start) {
  return bytes.substr(0, start.size()) == start;
}

/// A handshake record of any version, and its ClientHello (RFC 8446 5.1 and 4).
bool is_client_hello(std::string_view bytes) {
  return bytes.size() > 5 && bytes[0] == '\x16' && bytes[1] == '\x03' && bytes[5] == '\x01';
}

/// Version 2 of the header that HAProxy sends with send-proxy-v2.
constexpr std::string_view kProxyHeader("\r\n\r\n\0\r\nQUIT\n", 12);

constexpr std::string_view kTls = "TLS, but this port is plain; a proxy in front ends TLS";

}  // namespace

std::string_view foreign_protocol(std::string_view bytes) {
  if (is_client_hello(bytes)) return kTls;
  if (starts_with(bytes, "PRI * HTTP/2")) return "HTTP/2 without TLS; this port speaks HTTP/1.1";
  const bool is_proxy_header = starts_with(bytes, "PROXY ") || starts_with(bytes, kProxyHeader);
  if (is_proxy_header) return "a PROXY protocol header; switch it off at the proxy";
  if (starts_with(bytes, "SSH-")) return "SSH";
  const auto first = static_cast<unsigned char>(bytes.empty() ? 'G' : bytes.front());
  const bool is_binary = (first < ' ' && first != '\r' && first != '\n') || first >= 0x7f;
  return is_binary ? "binary data that are not HTTP" : std::string_view();
}

std::string_view foreign_at_echo(std::string_view bytes) {
  if (bytes.empty()) return {};
  switch (bytes.front()) {
    case '\x16':
      return is_client_hello(bytes) ? kTls : std::string_view();
    case 'G': {
      const bool is_request =
          starts_with(bytes, "GET ") && bytes.find(" HTTP/1.") != std::string_view::npos;
      return is_request ? "HTTP, but --protocol is echo" : std::string_view();
    }
    default:
      return {};
  }
}

}  // namespace megacomet
