// Verifying tokens. See authenticator.h.
#include "auth/authenticator.h"

#include <algorithm>

namespace megacomet {

TokenFault Authenticator::authenticate(std::string_view text, uint64_t now_s, Claims* out) {
  SignedToken token;
  TokenFault fault = parse_token(text, &token);
  if (fault == TokenFault::kNone) fault = verify(token);
  if (fault == TokenFault::kNone) fault = parse_claims(token.payload, out);
  return fault == TokenFault::kNone ? check(*out, now_s) : fault;
}

TokenFault Authenticator::verify(const SignedToken& token) {
  const TokenFault fault = keys_.verify(token);
  // A secret is never in a set of keys that everybody can read.
  const bool is_secret = token.algorithm == TokenAlgorithm::kHs256;
  if (fault == TokenFault::kNone || remote_ == RemoteKeys::kNone || is_secret) return fault;
  // The name decides, and not the fault: a key without a name is tried for every token and fails.
  const bool may_appear = token.key_id.empty() ? remote_ == RemoteKeys::kPending
                                               : !keys_.has(token.algorithm, token.key_id);
  return may_appear ? TokenFault::kKeyPending : fault;
}

TokenFault Authenticator::check(const Claims& claims, uint64_t now_s) const {
  const uint64_t leeway_s = rules_.leeway_s;
  if (claims.expires_at_s == 0 && !rules_.allows_no_expiry) return TokenFault::kNoExpiry;
  if (is_expired(claims.expires_at_s, now_s)) return TokenFault::kExpired;
  if (claims.not_before_s > now_s + leeway_s || claims.issued_at_s > now_s + leeway_s) {
    return TokenFault::kNotYetValid;
  }
  if (!rules_.issuer.empty() && claims.issuer != rules_.issuer) return TokenFault::kIssuer;
  const std::vector<std::string>& audiences = claims.audiences;
  const bool is_for_us =
      std::find(audiences.begin(), audiences.end(), rules_.audience) != audiences.end();
  return rules_.audience.empty() || is_for_us ? TokenFault::kNone : TokenFault::kAudience;
}

}  // namespace megacomet
