// TLS 1.2 after its handshake: OpenSSL keeps an object for each connection, because its record
// formats are many and its clients few. All connections of a worker share two buffers of OpenSSL.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include <sys/uio.h>

#include "os/openssl.h"
#include "tls/record_layer.h"

namespace megacomet {

/// Frees an object of OpenSSL for one connection.
struct SslDeleter {
  void operator()(SSL* session) const { find_openssl_tls()->SSL_free(session); }
};
using SslOwner = std::unique_ptr<SSL, SslDeleter>;

class Tls12Layer {
 public:
  /// Bytes that seal() adds at most: MAC, IV, padding and header are below 128, and a client may
  /// ask for records of 512 bytes (RFC 6066 4).
  static constexpr size_t kOverheadBytesMax = kTlsContentBytesMax / 512 * 128;

  explicit Tls12Layer(const OpenSslTls& functions);
  Tls12Layer(const Tls12Layer&) = delete;
  Tls12Layer& operator=(const Tls12Layer&) = delete;
  ~Tls12Layer();

  /// False if memory ran out.
  [[nodiscard]] bool is_ready() const { return input_ != nullptr && output_ != nullptr; }

  /// Takes the session of a handshake that is done. Its output and the rest of its input were taken
  /// before.
  void attach(SSL* session);

  // The same as RecordLayer's.

  TlsInput read(SSL* session, uint8_t* bytes, size_t size);
  /// Returns 0 after an error of OpenSSL: the connection must end.
  size_t seal(SSL* session, const iovec* parts, size_t count, uint8_t* out);
  /// OpenSSL chooses the alert for an error itself, in read().
  size_t seal_alert(SSL* session, TlsAlert alert, uint8_t* out);

 private:
  void clear();
  size_t take_output(uint8_t* out, size_t size);
  TlsEnd end_of(const SSL* session, int result) const;

  const OpenSslTls& openssl_;
  // Empty between two calls, so that no byte reaches another connection.
  BIO* input_;
  BIO* output_;
  /// The alert of OpenSSL after the last read() that broke a rule.
  std::string alert_;
  const SSL* alert_of_ = nullptr;
};

}  // namespace megacomet
