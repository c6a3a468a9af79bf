// A table of sets, without chains. See verified_tokens.h.
#include "auth/verified_tokens.h"

#include <algorithm>
#include <cstring>

#include "base/bounds.h"

namespace megacomet {

namespace {

/// Entries that one digest may use.
constexpr size_t kWays = 4;

}  // namespace

size_t VerifiedTokens::first_of(const TokenDigest& digest) {
  static_assert(bounds::kVerifiedTokensMax % kWays == 0);
  uint32_t bits = 0;
  std::memcpy(&bits, digest.data(), sizeof bits);
  return bits % (bounds::kVerifiedTokensMax / kWays) * kWays;
}

bool VerifiedTokens::contains(const TokenDigest& digest, uint64_t now_s) const {
  if (entries_.empty()) return false;
  const auto first = entries_.begin() + static_cast<ptrdiff_t>(first_of(digest));
  return std::any_of(first, first + kWays, [&](const Entry& entry) {
    return entry.expires_at_s > now_s && entry.digest == digest;
  });
}

void VerifiedTokens::add(const TokenDigest& digest, uint64_t expires_at_s) {
  if (entries_.empty()) entries_.resize(bounds::kVerifiedTokensMax);
  const auto first = entries_.begin() + static_cast<ptrdiff_t>(first_of(digest));
  const auto is_earlier = [](const Entry& left, const Entry& right) {
    return left.expires_at_s < right.expires_at_s;
  };
  *std::min_element(first, first + kWays, is_earlier) = {digest, expires_at_s};
}

}  // namespace megacomet
