// One request and its answer inside TLS, for a peer that gets no connection: handshake, records and
// close_notify. Knows no socket.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/ref.h"
#include "tls/tls_records.h"

namespace megacomet {

class TlsExchange {
 public:
  /// `records` outlives it.
  TlsExchange(Ref<TlsCertificates> certificates, TlsRecords* records);
  TlsExchange(const TlsExchange&) = delete;
  TlsExchange& operator=(const TlsExchange&) = delete;
  ~TlsExchange();

  /// Takes bytes of the peer. Bytes for the peer are appended to `output`, data to `data`. False if
  /// the peer leaves or broke a rule.
  [[nodiscard]] bool feed(std::string_view bytes, std::string* output, std::string* data);

  /// Whether the handshake is done.
  [[nodiscard]] bool is_open() const { return handshake_ == nullptr; }

  /// Seals the answer, with close_notify after it. Needs is_open().
  [[nodiscard]] std::string seal(std::string_view answer);

 private:
  [[nodiscard]] bool shake(std::string_view bytes, std::string* output);

  TlsRecords* records_;
  /// Null when it is done.
  std::unique_ptr<TlsHandshake> handshake_;
  TlsState state_{};
  SslOwner session_;
  /// Bytes of a record that is not complete.
  std::string input_;
};

}  // namespace megacomet
