// Authenticating clients: verifies a token, and applies the server's rules on times, issuer and
// audience.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "auth/mac.h"
#include "auth/token.h"
#include "auth/token_keys.h"
#include "auth/verified_tokens.h"
#include "os/openssl.h"

namespace megacomet {

/// The rules of accepting a token; empty texts demand nothing.
struct TokenRules {
  std::string issuer;
  std::string audience;
  /// Seconds by which the clocks of issuer and server may differ.
  uint32_t leeway_s = 0;
};

class Authenticator {
 public:
  /// `functions` is find_openssl(), and not null.
  /// `digest_key`: 32 random bytes that nobody else knows.
  Authenticator(const OpenSsl& functions, std::string_view digest_key)
      : keys_(functions), digests_(functions, digest_key) {}

  TokenKeys& keys() { return keys_; }
  void set_rules(TokenRules rules) { rules_ = std::move(rules); }

  /// Verifies a token at a time of the wall clock. `out` is complete only for kNone.
  [[nodiscard]] TokenFault authenticate(std::string_view text, uint64_t now_s, Claims* out);

 private:
  [[nodiscard]] TokenFault check(const Claims& claims, uint64_t now_s) const;

  TokenKeys keys_;
  Mac digests_;
  VerifiedTokens verified_;
  TokenRules rules_;
};

}  // namespace megacomet
