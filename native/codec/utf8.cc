// The state machine of the validator. See utf8.h.
#include "codec/utf8.h"

#include <cstddef>
#include <cstring>

namespace megacomet {

namespace {

constexpr uint64_t kHighBits = 0x8080808080808080;

/// The number of ASCII bytes at the start, in steps of eight.
size_t ascii_words(const char* bytes, size_t size) {
  size_t count = 0;
  for (; size - count >= sizeof(uint64_t); count += sizeof(uint64_t)) {
    uint64_t word = 0;
    std::memcpy(&word, bytes + count, sizeof word);
    if ((word & kHighBits) != 0) break;
  }
  return count;
}

}  // namespace

bool Utf8Reader::expect(uint8_t wanted, uint8_t low, uint8_t high) {
  wanted_ = wanted;
  low_ = low;
  high_ = high;
  return low <= high;
}

bool Utf8Reader::begin(uint8_t lead) {
  if (lead < 0x80) return true;
  // Below C2 are continuation bytes, and leads of overlong forms only.
  if (lead >= 0xc2 && lead <= 0xdf) return expect(1, 0x80, 0xbf);
  if (lead == 0xe0) return expect(2, 0xa0, 0xbf);  // Below A0 the form is overlong.
  if (lead == 0xed) return expect(2, 0x80, 0x9f);  // Above 9F are the surrogates.
  if (lead >= 0xe1 && lead <= 0xef) return expect(2, 0x80, 0xbf);
  if (lead == 0xf0) return expect(3, 0x90, 0xbf);  // Below 90 the form is overlong.
  if (lead >= 0xf1 && lead <= 0xf3) return expect(3, 0x80, 0xbf);
  if (lead == 0xf4) return expect(3, 0x80, 0x8f);  // Above 8F is beyond U+10FFFF.
  return expect(1, 1, 0);
}

bool Utf8Reader::feed(std::string_view part) {
  for (size_t at = 0; at < part.size();) {
    if (wanted_ == 0) {
      at += ascii_words(part.data() + at, part.size() - at);
      if (at == part.size()) break;
    }
    const auto byte = static_cast<uint8_t>(part[at++]);
    if (wanted_ == 0) {
      if (!begin(byte)) return false;
    } else if (byte < low_ || byte > high_) {
      return expect(1, 1, 0);
    } else {
      expect(static_cast<uint8_t>(wanted_ - 1), 0x80, 0xbf);
    }
  }
  return low_ <= high_;
}

bool is_valid_utf8(std::string_view text) {
  Utf8Reader reader;
  return reader.feed(text) && reader.is_complete();
}

}  // namespace megacomet
