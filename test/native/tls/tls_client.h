// A TLS client by OpenSSL over memory, and a certificate for the server that it talks to.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>

#include "base/ref.h"
#include "tls/certificates.h"
#include "tls/context.h"
#include "tls/handshake.h"
#include "tls/record_layer.h"

/// A self-signed certificate and its key, both PEM.
struct TestCertificate {
  std::string chain;
  std::string key;
};

/// Makes one for a host.
TestCertificate make_test_certificate(const std::string& host);

/// Of localhost, made once for each process.
const TestCertificate& test_certificate();

/// It alone, for a server with these settings; its clients get tickets with test_ticket_keys()
/// unless the settings have others.
megacomet::Ref<megacomet::TlsCertificates> test_certificates(
    const megacomet::TlsSettings& settings = {});

/// A session of a client, with its ticket.
using TestSession = std::unique_ptr<SSL_SESSION, void (*)(SSL_SESSION*)>;

/// Keys of tickets that are the same in each call with the same numbers.
std::string test_ticket_keys(const std::array<uint8_t, 3>& numbers = {1, 0, 2});

class TlsClient {
 public:
  struct Options {
    const char* suites = "TLS_AES_128_GCM_SHA256";
    int version_max = TLS1_3_VERSION;
    /// ALPN as it stands in the handshake.
    std::string_view protocols;
    /// The host that it asks for (SNI), none if it is empty.
    std::string host{};
    /// Bytes of a record that the client asks for; 0 for the usual ones, or 512 (RFC 6066 4).
    int record_bytes_max = 0;
  };

  explicit TlsClient(const Options& options);
  TlsClient(const TlsClient&) = delete;
  TlsClient& operator=(const TlsClient&) = delete;
  ~TlsClient();

  /// Gives the bytes of the server to OpenSSL.
  void receive(std::string_view bytes);
  /// Takes a step of the handshake; true when it is done.
  bool shake();
  /// What OpenSSL wants to send.
  std::string sent();
  /// Writes data; sent() has its records.
  void write(std::string_view data);
  /// Reads all data that has arrived.
  std::string read();
  /// Asks for new keys, and with `is_requested` for the server's too.
  void update_keys(bool is_requested);
  /// Asks for another handshake, in TLS 1.2.
  void renegotiate();
  void shut_down();
  [[nodiscard]] bool has_close_notify() const;
  /// The session of the last ticket that was read.
  [[nodiscard]] TestSession session() const;
  /// Asks the server to resume a session, before the first step.
  void resume(const TestSession& session);
  /// The host of the certificate that the server showed, empty before.
  [[nodiscard]] std::string shown_host() const;

 private:
  SSL_CTX* context_;
  SSL* session_;
  BIO* input_;
  BIO* output_;
};

/// A server's end after its handshake with a client.
struct Detached {
  megacomet::TlsState state{};
  /// The bytes of the client after its Finished.
  std::string rest;
  bool is_done = false;
  bool is_resumed = false;
};

/// Does a whole handshake, in pieces of `piece` bytes. The client says `early` with its Finished.
Detached shake_hands(const megacomet::Ref<megacomet::TlsCertificates>& certificates,
                     megacomet::RecordLayer* layer,
                     TlsClient* client,
                     std::string_view early = {},
                     size_t piece = 100'000);
