// HMAC-SHA256 with a kept key (RFC 2104): OpenSSL prepares the key once, for all digests.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "os/openssl.h"

namespace megacomet {

using MacDigest = std::array<uint8_t, 32>;

class Mac {
 public:
  Mac(const OpenSsl& functions, std::string_view key);
  Mac(const Mac&) = delete;
  Mac& operator=(const Mac&) = delete;
  ~Mac() { openssl_.EVP_MAC_CTX_free(keyed_); }

  /// False if OpenSSL has no HMAC, as in a process that is out of memory.
  [[nodiscard]] bool is_ready() const { return keyed_ != nullptr; }

  /// False if memory ran out. Needs is_ready().
  [[nodiscard]] bool digest(std::string_view text, MacDigest* out);

 private:
  const OpenSsl& openssl_;
  EVP_MAC_CTX* keyed_ = nullptr;
};

}  // namespace megacomet
