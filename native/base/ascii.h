// ASCII of the text protocols: sets of bytes, comparison without case, numbers.
// The functions of <cctype> follow the locale, and are undefined for negative values of char.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace megacomet::ascii {

/// A set of bytes with a fast membership test.
class CharSet {
 public:
  constexpr CharSet() = default;

  /// This set and the bytes of a text.
  [[nodiscard]] constexpr CharSet with(std::string_view bytes) const {
    CharSet set = *this;
    for (const char byte : bytes) set.put(static_cast<uint8_t>(byte), true);
    return set;
  }

  /// This set and the bytes from `first` to `last`.
  [[nodiscard]] constexpr CharSet with_range(uint8_t first, uint8_t last) const {
    CharSet set = *this;
    for (unsigned byte = first; byte <= last; ++byte) set.put(byte, true);
    return set;
  }

  /// This set without the bytes of a text.
  [[nodiscard]] constexpr CharSet without(std::string_view bytes) const {
    CharSet set = *this;
    for (const char byte : bytes) set.put(static_cast<uint8_t>(byte), false);
    return set;
  }

  [[nodiscard]] constexpr bool has(char byte) const { return is_in_[static_cast<uint8_t>(byte)]; }

  /// Whether the set has every byte of a text; true for an empty text.
  [[nodiscard]] constexpr bool has_all(std::string_view text) const {
    return span(text) == text.size();
  }

  /// How many bytes at the start of a text are in the set.
  [[nodiscard]] constexpr size_t span(std::string_view text) const {
    // text_span() copies bytes into an integer, which a constant expression cannot do.
    const bool is_quick = missing_text_ == 0 && !__builtin_is_constant_evaluated();
    size_t count = is_quick ? text_span(text) : 0;
    while (count < text.size() && has(text[count])) ++count;
    return count;
  }

 private:
  /// Neither a control byte nor DEL, as most bytes of a request.
  static constexpr bool is_text(unsigned byte) { return byte >= 0x20 && byte != 0x7f; }
  static constexpr uint8_t kTextBytes = 256 - 0x20 - 1;

  constexpr void put(unsigned byte, bool is_in) {
    if (is_text(byte) && is_in_[byte] != is_in) {
      missing_text_ = static_cast<uint8_t>(missing_text_ + (is_in ? -1 : 1));
    }
    is_in_[byte] = is_in;
  }

  /// How many bytes at the start are text, rounded down to a multiple of eight.
  static size_t text_span(std::string_view text) {
    constexpr uint64_t kOnes = 0x0101010101010101;
    constexpr uint64_t kHighs = kOnes * 0x80;
    size_t at = 0;
    for (; text.size() - at >= sizeof(uint64_t); at += sizeof(uint64_t)) {
      uint64_t bytes = 0;
      std::memcpy(&bytes, text.data() + at, sizeof bytes);
      // A subtraction sets the high bit of each byte that is less than its subtrahend, and perhaps
      // of the byte above it. `& ~bytes` excludes bytes above ASCII. A byte of `del` is zero where
      // the text has DEL.
      const uint64_t del = bytes ^ (kOnes * 0x7f);
      if (((((bytes - kOnes * 0x20) & ~bytes) | ((del - kOnes) & ~del)) & kHighs) != 0) break;
    }
    return at;
  }

  bool is_in_[256] = {};
  /// Text bytes that the set lacks. At 0 span() compares eight bytes at a time.
  uint8_t missing_text_ = kTextBytes;
};

inline constexpr CharSet kDigits = CharSet().with_range('0', '9');
inline constexpr CharSet kAlphanumeric = kDigits.with_range('a', 'z').with_range('A', 'Z');
/// Printable characters other than space (VCHAR of RFC 5234).
inline constexpr CharSet kVisible = CharSet().with_range(0x21, 0x7e);
inline constexpr CharSet kSpace = CharSet().with(" ");
/// Optional whitespace around a field value (OWS of RFC 9110 section 5.6.3).
inline constexpr CharSet kBlanks = kSpace.with("\t");
/// Bytes in the name of a method, a field or a parameter (RFC 9110 section 5.6.2).
inline constexpr CharSet kToken = kAlphanumeric.with("!#$%&'*+-.^_`|~");
/// Bytes in a field value (RFC 9110 section 5.5): no control bytes except the tab. Bytes above
/// ASCII are allowed and pass unchanged, because nothing here decodes them.
inline constexpr CharSet kFieldText = kVisible.with(" \t").with_range(0x80, 0xff);

[[nodiscard]] constexpr bool is_token(std::string_view text) {
  return !text.empty() && kToken.has_all(text);
}

/// A control byte or DEL.
[[nodiscard]] constexpr bool is_control(char byte) {
  return static_cast<uint8_t>(byte) < 0x20 || byte == 0x7f;
}

[[nodiscard]] constexpr char to_lower(char byte) {
  return byte >= 'A' && byte <= 'Z' ? static_cast<char>(byte - 'A' + 'a') : byte;
}

/// Whether two texts are equal, ignoring the case of ASCII letters.
[[nodiscard]] constexpr bool equals(std::string_view one, std::string_view other) {
  if (one.size() != other.size()) return false;
  for (size_t at = 0; at < one.size(); ++at) {
    if (one[at] != other[at] && to_lower(one[at]) != to_lower(other[at])) return false;
  }
  return true;
}

/// The text without the bytes of a set at its start and its end.
[[nodiscard]] constexpr std::string_view trim(std::string_view text, const CharSet& bytes) {
  text.remove_prefix(bytes.span(text));
  while (!text.empty() && bytes.has(text.back())) text.remove_suffix(1);
  return text;
}

/// The value of a hexadecimal digit; -1 for any other byte.
[[nodiscard]] constexpr int hex_value(char byte) {
  if (kDigits.has(byte)) return byte - '0';
  const char lower = to_lower(byte);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/// Reads a whole text as a decimal number. False for any byte that is not a digit, for leading
/// zeros, and above 2^64 - 1. Each number has one spelling, and no other reader sees it as octal.
[[nodiscard]] constexpr bool parse_unsigned(std::string_view text, uint64_t* out) {
  if (text.empty() || (text.size() > 1 && text[0] == '0')) return false;
  uint64_t value = 0;
  for (const char byte : text) {
    if (!kDigits.has(byte)) return false;
    const auto digit = static_cast<uint64_t>(byte - '0');
    if (value > (UINT64_MAX - digit) / 10) return false;
    value = value * 10 + digit;
  }
  *out = value;
  return true;
}

}  // namespace megacomet::ascii
