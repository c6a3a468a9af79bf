// base64url without padding, as JSON Web Signatures use it (RFC 4648 5, RFC 7515 2).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace megacomet {

/// Bytes that `characters` decode to.
[[nodiscard]] constexpr size_t base64url_bytes(size_t characters) {
  return characters / 4 * 3 + characters % 4 * 3 / 4;
}

/// Decodes into base64url_bytes(text.size()) bytes of `out`, which may be the memory of `text`.
/// False for other characters, padding, a length that no bytes give, and unused bits that are not
/// zero: so no two texts give the same bytes.
[[nodiscard]] bool base64url_decode(std::string_view text, uint8_t* out);

}  // namespace megacomet
