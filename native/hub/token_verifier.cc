// Keys, verified tokens and revocations. See token_verifier.h.
#include "hub/token_verifier.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "codec/base64url.h"
#include "os/openssl.h"
#include "os/sys.h"
#include "pubsub/channel_name.h"

namespace megacomet {

namespace {

constexpr uint64_t kTimeMax = UINT32_MAX;

std::string decoded(const std::string& text) {
  std::string bytes(base64url_bytes(text.size()), '\0');
  const bool is_valid = base64url_decode(text, reinterpret_cast<uint8_t*>(bytes.data()));
  return is_valid ? bytes : std::string();
}

bool add_keys(const frame::Access& settings, TokenKeys* keys) {
  for (size_t key = 0; key < settings.keys.size(); ++key) {
    if (settings.algorithms[key] > static_cast<uint64_t>(TokenAlgorithm::kEdDsa)) return false;
    const auto algorithm = static_cast<TokenAlgorithm>(settings.algorithms[key]);
    const std::string bytes = decoded(settings.keys[key]);
    if (keys->add(algorithm, settings.key_ids[key], bytes) != nullptr) return false;
  }
  return true;
}

}  // namespace

void grant_claimed_channels(Claims* claims) {
  std::vector<std::string>& names = claims->grants[static_cast<size_t>(Action::kSubscribe)];
  names.insert(names.end(), claims->channels.begin(), claims->channels.end());
}

bool TokenVerifier::configure(const frame::Access& settings) {
  const size_t count = settings.keys.size();
  if (settings.algorithms.size() != count || settings.key_ids.size() != count) return false;
  // Tokens that were verified with an old key are verified again.
  known_.clear();
  return set_url_keys(settings) && set_token_keys(settings);
}

bool TokenVerifier::set_token_keys(const frame::Access& settings) {
  const bool has_remote = (settings.flags & access_flag::kRemoteKeys) != 0;
  if (settings.keys.empty() && !has_remote) {
    authenticator_ = nullptr;
    return true;
  }
  const OpenSsl* openssl = find_openssl();
  if (openssl == nullptr || !sys::fill_random(&digest_key_, sizeof digest_key_)) return false;
  auto authenticator = std::make_unique<Authenticator>(*openssl);
  if (!add_keys(settings, &authenticator->keys())) return false;
  const bool allows_no_expiry = (settings.flags & access_flag::kNoExpiry) != 0;
  authenticator->set_rules(
      {settings.issuer, settings.audience, settings.leeway_s, allows_no_expiry});
  const bool is_pending = (settings.flags & access_flag::kKeysPending) != 0;
  if (has_remote) {
    authenticator->set_remote_keys(is_pending ? RemoteKeys::kPending : RemoteKeys::kKnown);
  }
  authenticator_ = std::move(authenticator);
  return true;
}

bool TokenVerifier::set_url_keys(const frame::Access& settings) {
  url_keys_ = nullptr;
  if (settings.url_keys.empty()) return true;
  const OpenSsl* openssl = find_openssl();
  if (openssl == nullptr) return false;
  auto keys = std::make_unique<UrlKeys>(*openssl);
  for (const std::string& key : settings.url_keys) {
    if (!keys->add(decoded(key))) return false;
  }
  url_keys_ = std::move(keys);
  return true;
}

void TokenVerifier::revoke(const frame::Revoke& order,
                           const RevokedTokens& tokens,
                           uint64_t now_s) {
  revocations_.add(order, now_s);
  // Only these: to forget tens of thousands takes 40 ms, and all others would be verified again.
  known_.forget(
      [&](const KnownToken& one) {
        return principals_->is_revoked(tokens, one.identity, one.id_hash, one.issued_at_s);
      },
      [this](uint32_t identity) { release(identity); });
}

void TokenVerifier::trim(uint64_t now_s) {
  revocations_.trim(now_s);
  known_.release_cleared([this](uint32_t identity) { release(identity); });
}

TokenFault TokenVerifier::verify(std::string_view token, uint64_t now_s, Claims* out) {
  // Public channels alone need no keys, and then no token is believed.
  if (authenticator_ == nullptr) return TokenFault::kUnknownKey;
  const TokenFault fault = authenticator_->authenticate(token, now_s, out);
  if (fault == TokenFault::kKeyPending) return unknown_keys_.note(sys::monotonic_ns());
  const bool is_revoked = fault == TokenFault::kNone && revocations_.has(*out);
  return is_revoked ? TokenFault::kRevoked : fault;
}

TokenFault TokenVerifier::verify_connection_token(std::string_view token,
                                                  uint64_t now_s,
                                                  Claims* out) {
  const TokenFault fault = verify(token, now_s, out);
  if (fault != TokenFault::kNone) return fault;
  if (!out->channel.empty()) return TokenFault::kPurpose;
  const std::vector<std::string>& channels = out->channels;
  if (!std::all_of(channels.begin(), channels.end(), is_channel)) return TokenFault::kMalformed;
  grant_claimed_channels(out);
  return TokenFault::kNone;
}

TokenFault TokenVerifier::recognize(std::string_view token, uint64_t now_s, KnownToken* out) {
  const SipDigest digest = siphash128(digest_key_, token);
  const KnownToken* known = known_.find(digest);
  if (known != nullptr) {
    *out = *known;
    const bool is_expired = authenticator_->is_expired(known->expires_at_s, now_s);
    return is_expired ? TokenFault::kExpired : TokenFault::kNone;
  }
  Claims claims;
  const TokenFault fault = verify_connection_token(token, now_s, &claims);
  if (fault != TokenFault::kNone) return fault;
  const uint64_t end_s = claims.expires_at_s == 0 ? kTimeMax : claims.expires_at_s;
  out->digest = digest;
  out->identity = principals_->acquire(claims);
  out->expires_at_s = static_cast<uint32_t>(std::min(end_s, kTimeMax));
  out->issued_at_s = static_cast<uint32_t>(std::min(claims.issued_at_s, kTimeMax));
  out->id_hash = Principals::hash_of_id(claims.id);
  const uint32_t replaced = known_.add(*out);
  if (replaced != 0) release(replaced);
  return TokenFault::kNone;
}

}  // namespace megacomet
