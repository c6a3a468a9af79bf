// The records of connections with any version, after their handshake: TLS 1.3 by our record layer,
// TLS 1.2 by OpenSSL. One object serves all connections of a worker.
#pragma once

#include <cstddef>
#include <cstdint>

#include <sys/uio.h>

#include "tls/handshake.h"
#include "tls/record_layer.h"
#include "tls/tls12_layer.h"
#include "tls/tls_state.h"

namespace megacomet {

class TlsRecords {
 public:
  /// Bytes that seal() needs for one record of data: with a KeyUpdate before it, or in TLS 1.2 as
  /// several records.
  static constexpr size_t kSealedBytesMax = kTlsContentBytesMax + Tls12Layer::kOverheadBytesMax;
  static_assert(kSealedBytesMax >= RecordLayer::sealed_bytes_max(kTlsContentBytesMax));

  explicit TlsRecords(const OpenSslTls& functions) : layer_(functions), tls12_layer_(functions) {}

  /// False if OpenSSL lacks an algorithm, or memory ran out.
  [[nodiscard]] bool is_ready() const { return layer_.is_ready() && tls12_layer_.is_ready(); }

  /// Takes over from a handshake that is done, after its output() and rest(). `session` is set for
  /// TLS 1.2 alone. False if OpenSSL did not tell all secrets.
  [[nodiscard]] bool begin(TlsHandshake* handshake, TlsState* state, SslOwner* session);

  /// Bytes of content that one call of seal() may have.
  [[nodiscard]] static size_t content_bytes_max(const TlsState& state) {
    return state.content_code == 0 ? kTlsContentBytesMax : size_t{256} << state.content_code;
  }

  // As in RecordLayer; `session` is null but for TLS 1.2.

  TlsInput read(TlsState* state, SSL* session, uint8_t* bytes, size_t size, uint8_t minute);
  /// Returns 0 if nothing can be sent any more.
  size_t seal(TlsState* state, SSL* session, const iovec* parts, size_t count, uint8_t* out);
  size_t seal_alert(TlsState* state, SSL* session, TlsAlert alert, uint8_t* out);

  /// Erases the state, and the keys that were derived from it.
  void forget(TlsState* state) { layer_.forget(state); }

 private:
  RecordLayer layer_;
  Tls12Layer tls12_layer_;
};

}  // namespace megacomet
