// Tokens whose signature was verified lately: a client that reconnects sends the same token, and
// verifying it again takes twenty times as long as a hash.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace megacomet {

/// A keyed hash of a whole token. Its key is secret and of this process, so nobody can find two
/// tokens with the same one.
using TokenDigest = std::array<uint8_t, 16>;

/// A set of kVerifiedTokensMax digests. A new one replaces the one of its neighbours that expires
/// first. Without tokens it has no memory.
class VerifiedTokens {
 public:
  [[nodiscard]] bool contains(const TokenDigest& digest, uint64_t now_s) const;
  /// `expires_at_s`: after it the digest is not contained.
  void add(const TokenDigest& digest, uint64_t expires_at_s);

 private:
  struct Entry {
    TokenDigest digest;
    uint64_t expires_at_s;  // 0 is a free entry.
  };

  [[nodiscard]] static size_t first_of(const TokenDigest& digest);

  std::vector<Entry> entries_;
};

}  // namespace megacomet
