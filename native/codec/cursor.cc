// Reading and writing cursors. See cursor.h.
#include "codec/cursor.h"

#include <charconv>

#include "base/ascii.h"

namespace megacomet {

namespace {

constexpr size_t kEpochDigits = 16;
constexpr char kDigits[] = "0123456789abcdef";

bool parse_epoch(std::string_view text, uint64_t* out) {
  uint64_t epoch = 0;
  for (const char character : text) {
    const int digit = ascii::hex_value(character);
    // A cursor has one text only.
    if (digit < 0 || ascii::to_lower(character) != character) return false;
    epoch = epoch << 4 | static_cast<uint64_t>(digit);
  }
  *out = epoch;
  return true;
}

}  // namespace

bool parse_cursor(std::string_view text, Cursor* out) {
  // The length first: a header of 10 KB costs nothing.
  if (text.size() > kCursorTextMax || text.size() <= kEpochDigits) return false;
  if (text[kEpochDigits] != '.') return false;
  Cursor cursor{};
  if (!parse_epoch(text.substr(0, kEpochDigits), &cursor.epoch)) return false;
  if (!ascii::parse_unsigned(text.substr(kEpochDigits + 1), &cursor.number)) return false;
  *out = cursor;
  return true;
}

size_t format_cursor(const Cursor& cursor, char* out) {
  for (size_t at = 0; at < kEpochDigits; ++at) {
    out[at] = kDigits[cursor.epoch >> (4 * (kEpochDigits - 1 - at)) & 0xf];
  }
  out[kEpochDigits] = '.';
  // Cannot fail: kCursorTextMax has room for every number.
  const auto written = std::to_chars(out + kEpochDigits + 1, out + kCursorTextMax, cursor.number);
  return static_cast<size_t>(written.ptr - out);
}

}  // namespace megacomet
