// A table of sets, without chains. See known_tokens.h.
#include "auth/known_tokens.h"

#include <algorithm>
#include <utility>

#include "base/bounds.h"

namespace megacomet {

namespace {

constexpr size_t kEntriesMin = 1024;

}  // namespace

const KnownToken* KnownTokens::find(const SipDigest& digest) const {
  if (entries_.empty()) return nullptr;
  const KnownToken* first = entries_.data() + first_of(digest);
  const KnownToken* end = first + kWays;
  const KnownToken* found = std::find_if(first, end, [&](const KnownToken& entry) {
    return entry.identity != 0 && entry.digest == digest;
  });
  return found == end ? nullptr : found;
}

/// Each set becomes two: the entries of one never need more room than two have.
void KnownTokens::grow() {
  const size_t wanted = entries_.empty() ? kEntriesMin : entries_.size() * 2;
  const std::vector<KnownToken> old = std::exchange(entries_, std::vector<KnownToken>(wanted));
  for (const KnownToken& entry : old) {
    if (entry.identity == 0) continue;
    KnownToken* first = entries_.data() + first_of(entry.digest);
    *std::find_if(first, first + kWays, [](const KnownToken& one) { return one.identity == 0; }) =
        entry;
  }
}

void KnownTokens::clear() {
  if (!entries_.empty()) cleared_.push_back(std::exchange(entries_, {}));
  size_ = 0;
}

uint32_t KnownTokens::add(const KnownToken& token) {
  if (size_ * 2 >= entries_.size() && entries_.size() < bounds::kKnownTokensMax) grow();
  KnownToken* first = entries_.data() + first_of(token.digest);
  // A free entry has no end, so it is the first choice.
  KnownToken* chosen =
      std::min_element(first, first + kWays, [](const KnownToken& left, const KnownToken& right) {
        return left.expires_at_s < right.expires_at_s;
      });
  const uint32_t replaced = chosen->identity;
  if (replaced == 0) ++size_;
  *chosen = token;
  return replaced;
}

}  // namespace megacomet
