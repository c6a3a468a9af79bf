// Tokens that were verified lately, by a keyed hash, with the rights that they give a connection: a
// client that reconnects presents the same token, and then nothing is verified or parsed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/siphash.h"

namespace megacomet {

struct KnownToken {
  /// Of the whole token. Its key is secret and of this process, so a client cannot make another
  /// token with the same one.
  SipDigest digest{};
  /// The number of an identity of Principals, one of whose users this is; 0 in a free entry.
  uint32_t identity = 0;
  /// `exp`, seconds of the epoch; UINT32_MAX for none.
  uint32_t expires_at_s = 0;
  /// `iat`; 0 for none.
  uint32_t issued_at_s = 0;
  /// Of `jti`; see Principals.
  uint32_t id_hash = 0;
};
static_assert(sizeof(KnownToken) == 32, "half a cache line");

/// At most kKnownTokensMax. A new one replaces the one of its neighbours that expires first. The
/// table grows with its tokens.
class KnownTokens {
 public:
  /// Null for an unknown token. Valid until the next call of add() or clear().
  [[nodiscard]] const KnownToken* find(const SipDigest& digest) const;

  /// Adds a token that is not known. Returns the identity of the one that it replaces, which the
  /// caller releases; 0 if there is none.
  [[nodiscard]] uint32_t add(const KnownToken& token);

  /// Forgets the tokens for which `is_gone(token)` is true, and calls `release(identity)` for each.
  template <typename IsGone, typename Release>
  void forget(IsGone is_gone, Release release) {
    for (KnownToken& entry : entries_) {
      if (entry.identity == 0 || !is_gone(entry)) continue;
      release(entry.identity);
      entry = {};
      --size_;
    }
  }

  /// Forgets all tokens. release_cleared() releases their identities later.
  void clear();

  /// Calls `release(identity)` for some tokens that clear() has forgotten. Once a second: to
  /// release all 65,536 at once takes 48 ms.
  template <typename Release>
  void release_cleared(Release release) {
    for (size_t left = kReleasedAtOnce; left > 0 && !cleared_.empty(); --left) {
      std::vector<KnownToken>& last = cleared_.back();
      if (last.back().identity != 0) release(last.back().identity);
      last.pop_back();
      if (last.empty()) cleared_.pop_back();
    }
  }

  [[nodiscard]] size_t size() const { return size_; }

 private:
  /// Entries that one digest may use.
  static constexpr size_t kWays = 4;
  /// About a millisecond.
  static constexpr size_t kReleasedAtOnce = 2048;

  [[nodiscard]] size_t first_of(const SipDigest& digest) const {
    return digest[0] % (entries_.size() / kWays) * kWays;
  }
  void grow();

  std::vector<KnownToken> entries_;
  /// Tables that were cleared, each with an entry at least.
  std::vector<std::vector<KnownToken>> cleared_;
  size_t size_ = 0;
};

}  // namespace megacomet
