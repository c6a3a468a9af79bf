// Authenticating clients: verifies a token, and applies the server's rules on times, issuer and
// audience.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "auth/token.h"
#include "auth/token_keys.h"
#include "os/openssl.h"

namespace megacomet {

/// The rules of accepting a token; empty texts demand nothing.
struct TokenRules {
  std::string issuer;
  std::string audience;
  /// Seconds by which the clocks of issuer and server may differ.
  uint32_t leeway_s = 0;
  /// Whether a token without `exp` counts.
  bool allows_no_expiry = false;
};

/// The keys of --token-jwks-url in this worker: none without the option, not fetched yet, or known.
enum class RemoteKeys : uint8_t { kNone, kPending, kKnown };

class Authenticator {
 public:
  /// `functions` is find_openssl(), and not null.
  explicit Authenticator(const OpenSsl& functions) : keys_(functions) {}

  TokenKeys& keys() { return keys_; }
  void set_rules(TokenRules rules) { rules_ = std::move(rules); }
  void set_remote_keys(RemoteKeys remote) { remote_ = remote; }

  /// Verifies a token at a time of the wall clock. `out` is complete only for kNone. kKeyPending:
  /// no key that is known verifies it, but one of the issuer's URL may.
  [[nodiscard]] TokenFault authenticate(std::string_view text, uint64_t now_s, Claims* out);

  /// Whether a token that ends then, 0 for never, is accepted no longer.
  [[nodiscard]] bool is_expired(uint64_t expires_at_s, uint64_t now_s) const {
    return expires_at_s > 0 && expires_at_s + rules_.leeway_s <= now_s;
  }

 private:
  [[nodiscard]] TokenFault verify(const SignedToken& token);
  [[nodiscard]] TokenFault check(const Claims& claims, uint64_t now_s) const;

  TokenKeys keys_;
  TokenRules rules_;
  RemoteKeys remote_ = RemoteKeys::kNone;
};

}  // namespace megacomet
