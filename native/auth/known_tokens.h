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

  /// Forgets all tokens, and calls `release(identity)` for each.
  template <typename Release>
  void clear(Release release) {
    for (const KnownToken& entry : entries_) {
      if (entry.identity != 0) release(entry.identity);
    }
    entries_ = {};
    size_ = 0;
  }

  [[nodiscard]] size_t size() const { return size_; }

 private:
  /// Entries that one digest may use.
  static constexpr size_t kWays = 4;

  [[nodiscard]] size_t first_of(const SipDigest& digest) const {
    return digest[0] % (entries_.size() / kWays) * kWays;
  }
  void grow();

  std::vector<KnownToken> entries_;
  size_t size_ = 0;
};

}  // namespace megacomet
