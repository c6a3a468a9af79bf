// Whether text is UTF-8, judged in parts as they come.
// By RFC 3629 and table 3-7 of the Unicode standard: the shortest form only, no surrogates, nothing
// above U+10FFFF. Pure; eight ASCII bytes are passed at a time.
#pragma once

#include <cstdint>
#include <string_view>

namespace megacomet {

/// Reads one text in parts. Three bytes, to be copied and kept at will.
class Utf8Reader {
 public:
  /// Takes the next part. False as soon as no valid text can begin so, and ever after.
  [[nodiscard]] bool feed(std::string_view part);

  /// Whether the text may end here: all was valid, and no character is cut in two.
  [[nodiscard]] bool is_complete() const { return wanted_ == 0; }

 private:
  bool begin(uint8_t lead);
  bool expect(uint8_t wanted, uint8_t low, uint8_t high);

  // Bytes that the character at hand still wants, and what the next of them may be. Only a second
  // byte has bounds of its own. A text that is broken wants a byte that there is not.
  uint8_t wanted_ = 0;
  uint8_t low_ = 0;
  uint8_t high_ = 0;
};

/// Whether a whole text is UTF-8. The empty one is.
[[nodiscard]] bool is_valid_utf8(std::string_view text);

}  // namespace megacomet
