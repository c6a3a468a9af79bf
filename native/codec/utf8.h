// Validates UTF-8, in any parts.
// By RFC 3629 and table 3-7 of the Unicode standard: the shortest form only, no surrogates, nothing
// above U+10FFFF. Pure; skips eight ASCII bytes at a time.
#pragma once

#include <cstdint>
#include <string_view>

namespace megacomet {

/// Validates one text in parts. Three bytes, which the caller may copy.
class Utf8Reader {
 public:
  /// Reads the next part. False once no valid text can start like this.
  [[nodiscard]] bool feed(std::string_view part);

  /// Whether the text may end here, not within a character.
  [[nodiscard]] bool is_complete() const { return wanted_ == 0; }

 private:
  bool begin(uint8_t lead);
  bool expect(uint8_t wanted, uint8_t low, uint8_t high);

  // The missing bytes of the current character, and the bounds of the next one. Only the second
  // byte of a character has bounds of its own. An invalid text has bounds that no byte meets.
  uint8_t wanted_ = 0;
  uint8_t low_ = 0;
  uint8_t high_ = 0;
};

/// Whether a whole text is UTF-8. The empty text is.
[[nodiscard]] bool is_valid_utf8(std::string_view text);

}  // namespace megacomet
