// The decoder of base64url. See base64url.h.
#include "codec/base64url.h"

#include <array>

namespace megacomet {

namespace {

constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr uint8_t kNoDigit = 0xff;
constexpr uint32_t kBitsPerDigit = 6;

constexpr std::array<uint8_t, 256> make_values() {
  std::array<uint8_t, 256> values{};
  for (uint8_t& value : values) value = kNoDigit;
  for (uint8_t digit = 0; digit < 64; ++digit) {
    values[static_cast<uint8_t>(kAlphabet[digit])] = digit;
  }
  return values;
}

constexpr std::array<uint8_t, 256> kValues = make_values();

}  // namespace

bool base64url_decode(std::string_view text, uint8_t* out) {
  if (text.size() % 4 == 1) return false;
  uint32_t bits = 0;
  uint32_t count = 0;
  for (const char character : text) {
    const uint8_t value = kValues[static_cast<uint8_t>(character)];
    if (value == kNoDigit) return false;
    bits = bits << kBitsPerDigit | value;
    count += kBitsPerDigit;
    if (count < 8) continue;
    count -= 8;
    *out++ = static_cast<uint8_t>(bits >> count);
    bits &= (1U << count) - 1;
  }
  return bits == 0;
}

}  // namespace megacomet
