// The keys of a traffic secret, and the secret after it (RFC 8446 7.2, 7.3), by OpenSSL's HMAC.
#pragma once

#include <array>
#include <string_view>

#include "os/openssl.h"
#include "tls/suite.h"

namespace megacomet {

class KeySchedule {
 public:
  explicit KeySchedule(const OpenSslTls& functions);
  KeySchedule(const KeySchedule&) = delete;
  KeySchedule& operator=(const KeySchedule&) = delete;
  ~KeySchedule();

  /// False if OpenSSL has no HMAC, as in a process that is out of memory.
  [[nodiscard]] bool is_ready() const;

  // False if memory ran out. They need is_ready().

  [[nodiscard]] bool derive(TlsSuite suite, const TlsSecret& secret, TlsKeys* keys);
  /// Replaces a secret by the one after a KeyUpdate.
  [[nodiscard]] bool advance(TlsSuite suite, TlsSecret* secret);

 private:
  [[nodiscard]] bool expand(
      TlsSuite suite, const TlsSecret& secret, std::string_view label, uint8_t* out, size_t size);

  const OpenSslTls& openssl_;
  /// By index_of(), each with the digest of its suite.
  std::array<EVP_MAC_CTX*, kTlsSuites> hmacs_{};
};

}  // namespace megacomet
