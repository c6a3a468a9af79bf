// Verifying tokens. See authenticator.h.
#include "auth/authenticator.h"

#include <algorithm>

namespace megacomet {

namespace {

/// A signature is remembered as verified for so long.
constexpr uint64_t kRememberedSeconds = 3600;

}  // namespace

TokenFault Authenticator::authenticate(std::string_view text, uint64_t now_s, Claims* out) {
  SignedToken token;
  TokenFault fault = parse_token(text, &token);
  if (fault != TokenFault::kNone) return fault;
  // The hash of HS256 takes no longer than that of a look into the memory.
  const bool is_costly = token.algorithm != TokenAlgorithm::kHs256;
  MacDigest digest{};
  const bool has_digest = is_costly && digests_.is_ready() && digests_.digest(text, &digest);
  TokenDigest short_digest;
  std::copy_n(digest.begin(), short_digest.size(), short_digest.begin());
  const bool is_known = has_digest && verified_.contains(short_digest, now_s);
  if (!is_known) fault = keys_.verify(token);
  // A token that has expired is presented again too, so its signature is remembered as well.
  if (fault == TokenFault::kNone && has_digest && !is_known) {
    verified_.add(short_digest, now_s + kRememberedSeconds);
  }
  if (fault == TokenFault::kNone) fault = parse_claims(token.payload, out);
  return fault == TokenFault::kNone ? check(*out, now_s) : fault;
}

TokenFault Authenticator::check(const Claims& claims, uint64_t now_s) const {
  const uint64_t leeway_s = rules_.leeway_s;
  if (claims.expires_at_s > 0 && claims.expires_at_s + leeway_s <= now_s) {
    return TokenFault::kExpired;
  }
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
