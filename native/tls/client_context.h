// The settings of TLS that all handshakes of a client share.
#pragma once

#include <string>
#include <string_view>

#include "tls/handshake_context.h"

namespace megacomet {

struct TlsClientSettings {
  /// Whether a server's certificate must be valid.
  bool verifies = true;
  /// Certificates of the authorities as PEM; empty for those of the system.
  std::string_view authorities;
  /// A session of this server as SSL_SESSION of DER: handshakes resume it. Empty for none.
  std::string_view session;
};

/// The server that a handshake is with.
struct TlsServerName {
  /// The name or numeric address that its certificate must have.
  std::string host;
  /// Whether to send the host to the server (SNI): names only (RFC 6066 3).
  bool is_sent = false;
};

class TlsClientContext final : public HandshakeContext {
 public:
  explicit TlsClientContext(const OpenSslTls& functions);
  ~TlsClientContext();

  /// Returns "" or the reason why OpenSSL rejects the settings.
  [[nodiscard]] std::string configure(const TlsClientSettings& settings);

  /// An object for one handshake, which `observer` outlives; null if memory ran out.
  [[nodiscard]] SSL* make_client(HandshakeObserver* observer, const TlsServerName& server);

 private:
  SSL_SESSION* resumed_ = nullptr;
};

}  // namespace megacomet
