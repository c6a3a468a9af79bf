// A URL that is signed instead of a token: the text that its signature covers, and the reasons to
// reject it.
#pragma once

#include <cstdint>
#include <string>

namespace megacomet {

struct SignedUrl {
  /// The decoded path, and for each covered parameter in its order a line feed, the name, "=" and
  /// the value, both decoded. None of them has control characters, so no two URLs that mean
  /// something else have the same text.
  std::string text;
  /// HMAC-SHA256 of the text in base64url, as it was sent.
  std::string signature;
  /// Seconds of the epoch.
  uint32_t expires_at_s = 0;
};

enum class UrlFault : uint8_t {
  kNone,
  /// A missing, repeated or invalid `expires` or `signature`, or text that cannot be signed.
  kMalformed,
  kSignature,
  kExpired,
};

/// A sentence for the client; "" for kNone.
[[nodiscard]] const char* describe(UrlFault fault);

}  // namespace megacomet
