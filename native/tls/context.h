// The settings of TLS that all handshakes of a worker with one certificate share.
#pragma once

#include <string>
#include <string_view>

#include "tls/handshake_context.h"
#include "tls/ticket_keys.h"

namespace megacomet {

/// The choices of the server's owner. The lists are OpenSSL's, empty for its defaults.
struct TlsSettings {
  bool has_tls12 = false;
  std::string groups;
  /// Of TLS 1.2.
  std::string ciphers;
  /// Of TLS 1.3.
  std::string suites;
  /// The issuers of clients' certificates, PEM; empty if clients need none.
  std::string client_ca;
  /// Of session tickets, which outlive the context. Without them no client gets a ticket, nor where
  /// clients need a certificate.
  const TicketKeys* tickets = nullptr;
};

class TlsContext;

/// Finds the context with the certificate of a host.
class ContextChooser {
 public:
  /// Null keeps the present one.
  virtual TlsContext* choose(std::string_view host) = 0;

 protected:
  ~ContextChooser() = default;
};

class TlsContext final : public HandshakeContext {
 public:
  TlsContext(const OpenSslTls& functions, const TlsSettings& settings);

  /// Sets certificate chain and private key, both PEM. Returns "" or the reason why OpenSSL rejects
  /// them.
  [[nodiscard]] std::string set_certificate(std::string_view chain, std::string_view key);

  /// Asks `chooser` for the context of each client that names a host. It outlives the handshakes.
  void set_chooser(ContextChooser* chooser);

  /// An object for one handshake, which `observer` outlives unless leave() is called; null if
  /// memory ran out.
  [[nodiscard]] SSL* make_server(HandshakeObserver* observer);

 private:
  static int on_protocols(SSL* session,
                          const unsigned char** out,
                          unsigned char* out_size,
                          const unsigned char* offered,
                          unsigned int offered_size,
                          void* unused);
  static int on_host(SSL* session, int* alert, void* chooser);
  static int on_ticket(SSL* session,
                       unsigned char* name,
                       unsigned char* iv,
                       EVP_CIPHER_CTX* cipher,
                       EVP_MAC_CTX* mac,
                       int is_made);
  [[nodiscard]] bool apply(const TlsSettings& settings);
  [[nodiscard]] bool demand_certificates(const std::string& issuers);
  void set_tickets(const TicketKeys* keys);
};

}  // namespace megacomet
