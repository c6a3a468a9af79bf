// Verifies tokens and signed URLs with the keys of the manager. It remembers verified tokens, and
// rejects revoked ones.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "auth/authenticator.h"
#include "auth/known_tokens.h"
#include "auth/principals.h"
#include "auth/revocations.h"
#include "auth/token.h"
#include "auth/url_keys.h"
#include "base/siphash.h"
#include "hub/unknown_keys.h"
#include "ipc/control.h"
#include "ipc/frames.h"

namespace megacomet {

/// The channels of the claims are granted: a user may have the channels to which the application
/// subscribes it.
void grant_claimed_channels(Claims* claims);

class TokenVerifier final {
 public:
  TokenVerifier(Principals* principals, Control* control)
      : principals_(principals), unknown_keys_(control) {}
  TokenVerifier(const TokenVerifier&) = delete;
  TokenVerifier& operator=(const TokenVerifier&) = delete;
  ~TokenVerifier() = default;

  /// Takes the manager's keys in place of earlier ones. False if one is not valid.
  [[nodiscard]] bool configure(const frame::Access& settings);
  /// The manager has fetched the keys of --token-jwks-url because of an unknown one.
  void on_keys_checked(const frame::KeysChecked& order, uint64_t now_ns) {
    unknown_keys_.on_checked(order.seconds, now_ns);
  }
  /// Rejects the revoked tokens from now on.
  void revoke(const frame::Revoke& order, const RevokedTokens& tokens, uint64_t now_s);
  /// Once a second: forgets revocations that no valid token can meet any more, and releases the
  /// tokens of old keys.
  void trim(uint64_t now_s);

  /// Whether a credential with these claims is revoked.
  [[nodiscard]] bool is_revoked(const Claims& claims) const { return revocations_.has(claims); }

  [[nodiscard]] bool takes_tokens() const { return authenticator_ != nullptr; }
  [[nodiscard]] bool takes_signed_urls() const { return url_keys_ != nullptr; }

  /// Verifies a token of any purpose.
  [[nodiscard]] TokenFault verify(std::string_view token, uint64_t now_s, Claims* out);
  /// Verifies the token of a connection, or finds it among those that were verified. The identity
  /// is valid until the next call.
  [[nodiscard]] TokenFault recognize(std::string_view token, uint64_t now_s, KnownToken* out);
  /// Verifies a signed URL. There must be keys.
  [[nodiscard]] UrlFault verify_url(const SignedUrl& url, uint64_t now_s) {
    return url_keys_->verify(url, now_s);
  }

 private:
  [[nodiscard]] bool set_token_keys(const frame::Access& settings);
  [[nodiscard]] bool set_url_keys(const frame::Access& settings);
  [[nodiscard]] TokenFault verify_connection_token(std::string_view token,
                                                   uint64_t now_s,
                                                   Claims* out);
  void release(uint32_t identity) { principals_->release(identity); }

  Principals* principals_;
  /// Null without keys.
  std::unique_ptr<Authenticator> authenticator_;
  /// Null without keys.
  std::unique_ptr<UrlKeys> url_keys_;
  UnknownKeys unknown_keys_;
  Revocations revocations_;
  KnownTokens known_;
  SipKey digest_key_{};
};

}  // namespace megacomet
