// The settings of TLS that all handshakes of a worker share: one SSL_CTX of OpenSSL.
#pragma once

#include <string>
#include <string_view>

#include "os/openssl.h"
#include "tls/ticket_keys.h"

namespace megacomet {

/// What OpenSSL tells about one handshake.
class HandshakeObserver {
 public:
  /// A line of SSLKEYLOGFILE: label, client random, secret in hexadecimal digits.
  virtual void take_key(std::string_view line) = 0;
  virtual void note_record_sent() = 0;
  /// Records from now on are sealed with the traffic secret.
  virtual void note_finished_sent() = 0;

 protected:
  ~HandshakeObserver() = default;
};

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

class TlsContext {
 public:
  TlsContext(const OpenSslTls& functions, const TlsSettings& settings);
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;
  ~TlsContext() { openssl_.SSL_CTX_free(context_); }

  /// False if memory ran out, or OpenSSL does not know a name of the settings.
  [[nodiscard]] bool is_ready() const { return context_ != nullptr; }

  /// Sets certificate chain and private key, both PEM. Returns "" or the reason why OpenSSL rejects
  /// them.
  [[nodiscard]] std::string set_certificate(std::string_view chain, std::string_view key);

  /// Asks `chooser` for the context of each client that names a host. It outlives the handshakes.
  void set_chooser(ContextChooser* chooser);

  /// An object for one handshake, which `observer` outlives unless leave() is called; null if
  /// memory ran out.
  [[nodiscard]] SSL* make_session(HandshakeObserver* observer);
  /// The handshake of a session is done: its observer learns nothing more.
  static void leave(SSL* session);

  [[nodiscard]] const OpenSslTls& functions() const { return openssl_; }

 private:
  static void on_key(const SSL* session, const char* line);
  static void on_message(int is_write,
                         int version,
                         int type,
                         const void* bytes,
                         size_t size,
                         SSL* session,
                         void* observer);
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
  [[nodiscard]] std::string take_error();

  const OpenSslTls& openssl_;
  SSL_CTX* context_;
};

}  // namespace megacomet
