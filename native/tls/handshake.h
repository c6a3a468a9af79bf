// One handshake of TLS, by OpenSSL over memory, until the connection has its traffic secrets. Then
// OpenSSL's object is freed, and the record layer goes on with the secrets and the numbers.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/client_certificate.h"
#include "base/ref.h"
#include "tls/certificates.h"
#include "tls/client_context.h"
#include "tls/record_layer.h"
#include "tls/tls12_layer.h"

namespace megacomet {

enum class HandshakeStatus : uint8_t {
  /// More bytes of the peer are needed.
  kGoesOn,
  kDone,
  /// The peer failed, or broke a rule: output() may hold an alert.
  kFailed,
};

/// What OpenSSL says about a failed handshake.
struct TlsFailure {
  /// Whether the certificate of the peer was rejected: `code` is an X509_V_ERR, else the reason of
  /// an OpenSSL error, or 0 for an error without one.
  bool is_verification = false;
  int code = 0;
  const char* text = "handshake failed";
};

class TlsHandshake final : HandshakeObserver {
 public:
  /// The server's part. Keeps the certificates for as long as it lasts.
  explicit TlsHandshake(Ref<TlsCertificates> certificates);
  /// The client's part: begin() comes first. The context outlives it.
  TlsHandshake(TlsClientContext* context, const TlsServerName& server);
  TlsHandshake(const TlsHandshake&) = delete;
  TlsHandshake& operator=(const TlsHandshake&) = delete;
  ~TlsHandshake();

  /// False if memory ran out.
  [[nodiscard]] bool is_ready() const { return session_ != nullptr; }

  /// Whether the peer may choose TLS 1.2. To be said before each feed(), until is_tls12().
  void allow_tls12(bool is_allowed);

  /// A client's first step: output() has its first message.
  HandshakeStatus begin() { return advance(); }
  /// Takes bytes of the peer.
  HandshakeStatus feed(const uint8_t* bytes, size_t size);
  /// Takes the bytes for the peer, also after a failure.
  [[nodiscard]] std::string output();

  /// The peer has begun, and uses TLS 1.2.
  [[nodiscard]] bool is_tls12() const;
  /// After kFailed: the peer knows no version that is allowed, and output() says so.
  [[nodiscard]] bool is_version_rejected() const { return is_version_rejected_; }
  /// Why the last step failed.
  [[nodiscard]] TlsFailure failure() const;

  // After kDone.

  /// Whether the client resumed a session, which needs no certificate and less of the processor.
  [[nodiscard]] bool is_resumed() const { return openssl_.SSL_session_reused(session_) == 1; }
  /// Sets the record layer's state. False for TLS 1.2, or if OpenSSL did not tell all secrets.
  [[nodiscard]] bool detach(RecordLayer* layer, TlsState* state);
  /// The client's certificate, also of a resumed session. Its subject is empty without one, or if
  /// it has none.
  [[nodiscard]] ClientCertificate client_certificate();
  /// Takes the session for the layer of TLS 1.2, after output() and rest().
  [[nodiscard]] SslOwner leave();
  /// Takes the bytes of the peer after its Finished: whole and partial records.
  [[nodiscard]] std::string rest();

 private:
  void take_key(std::string_view line) override;
  void note_record_sent() override { ++records_sent_; }
  void note_finished_sent() override { records_sent_ = 0; }
  void make_memory();
  HandshakeStatus advance();
  [[nodiscard]] std::string drain(BIO* memory);

  const OpenSslTls& openssl_;
  /// Null in a client.
  Ref<TlsCertificates> certificates_;
  SSL* session_ = nullptr;
  // The session owns them.
  BIO* input_ = nullptr;
  BIO* output_ = nullptr;
  size_t fed_bytes_ = 0;
  unsigned long error_ = 0;
  uint64_t records_sent_ = 0;
  bool is_version_rejected_ = false;
  TlsSecret client_secret_{};
  TlsSecret server_secret_{};
  size_t client_secret_bytes_ = 0;
  size_t server_secret_bytes_ = 0;
};

}  // namespace megacomet
