// First bytes of protocols. See foreign_protocol.h.
#include "codec/foreign_protocol.h"

#include <algorithm>
#include <array>

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

/// The methods that clients of the web send (RFC 9110 9, RFC 5789).
constexpr std::array<std::string_view, 9> kMethods = {
    "GET ", "HEAD ", "POST ", "PUT ", "PATCH ", "DELETE ", "OPTIONS ", "TRACE ", "CONNECT "};

/// Whether the bytes are a request with such a method, or the first bytes of one.
bool begins_request(std::string_view bytes) {
  return std::any_of(kMethods.begin(), kMethods.end(), [bytes](std::string_view method) {
    return starts_with(method, bytes.substr(0, method.size()));
  });
}

}  // namespace

ForeignProtocol foreign_protocol(std::string_view bytes) {
  if (is_client_hello(bytes)) return ForeignProtocol::kTls;
  if (starts_with(bytes, "PRI * HTTP/2")) return ForeignProtocol::kHttp2;
  const bool is_proxy_header = starts_with(bytes, "PROXY ") || starts_with(bytes, kProxyHeader);
  if (is_proxy_header) return ForeignProtocol::kProxyHeader;
  if (starts_with(bytes, "SSH-")) return ForeignProtocol::kSsh;
  const auto first = static_cast<unsigned char>(bytes.empty() ? 'G' : bytes.front());
  const bool is_binary = (first < ' ' && first != '\r' && first != '\n') || first >= 0x7f;
  return is_binary ? ForeignProtocol::kBinary : ForeignProtocol::kNone;
}

ForeignProtocol foreign_at_echo(std::string_view bytes) {
  if (bytes.empty()) return ForeignProtocol::kNone;
  switch (bytes.front()) {
    case '\x16':
      return is_client_hello(bytes) ? ForeignProtocol::kTls : ForeignProtocol::kNone;
    case 'G': {
      const bool is_request =
          starts_with(bytes, "GET ") && bytes.find(" HTTP/1.") != std::string_view::npos;
      return is_request ? ForeignProtocol::kHttpAtEcho : ForeignProtocol::kNone;
    }
    default:
      return ForeignProtocol::kNone;
  }
}

ForeignProtocol foreign_at_tls(std::string_view bytes) {
  if (bytes.empty() || bytes.front() == '\x16') return ForeignProtocol::kNone;
  if (begins_request(bytes)) return ForeignProtocol::kHttpAtTls;
  const ForeignProtocol known = foreign_protocol(bytes);
  return known == ForeignProtocol::kNone ? ForeignProtocol::kTextAtTls : known;
}

std::string_view name_of(ForeignProtocol protocol) {
  switch (protocol) {
    case ForeignProtocol::kNone:
      break;
    case ForeignProtocol::kTls:
      return "TLS, but this port is plain; use --tls-cert, or a proxy in front that ends TLS";
    case ForeignProtocol::kHttp2:
      return "HTTP/2 without TLS; this port speaks HTTP/1.1";
    case ForeignProtocol::kProxyHeader:
      return "a PROXY protocol header; switch it off at the proxy";
    case ForeignProtocol::kSsh:
      return "SSH";
    case ForeignProtocol::kBinary:
      return "binary data of an unknown protocol";
    case ForeignProtocol::kHttpAtEcho:
      return "HTTP, but --protocol is echo";
    case ForeignProtocol::kHttpAtTls:
      return "HTTP without TLS, but this port speaks TLS; use https or wss";
    case ForeignProtocol::kTextAtTls:
      return "text, but this port speaks TLS";
  }
  return {};
}

}  // namespace megacomet
