// Tests of SipHash-2-4 with 128 bits, with vectors of the authors' reference implementation.
#include "base/siphash.h"

#include <cstring>
#include <string>

#include "support/unit.h"

using namespace megacomet;

namespace {

struct Vector {
  size_t size;
  const char* hex;
};

/// The key is 00 01 … 0f, and the text 00 01 02 ….
constexpr Vector kVectors[] = {
    {0, "a3817f04ba25a8e66df67214c7550293"},
    {1, "da87c1d86b99af44347659119b22fc45"},
    {7, "a1f1ebbed8dbc153c0b84aa61ff08239"},
    {8, "3b62a9ba6258f5610f83e264f31497b4"},
    {15, "5493e99933b0a8117e08ec0f97cfc3d9"},
    {63, "5150d1772f50834a503e069a973fbd7c"},
};

std::string hex_of(const SipDigest& digest) {
  uint8_t bytes[sizeof digest];
  std::memcpy(bytes, digest.data(), sizeof bytes);
  std::string hex;
  for (const uint8_t byte : bytes) {
    hex += "0123456789abcdef"[byte >> 4];
    hex += "0123456789abcdef"[byte & 15];
  }
  return hex;
}

}  // namespace

TEST("SipHash gives the published values") {
  uint8_t key_bytes[16];
  std::string text;
  for (uint8_t at = 0; at < 64; ++at) {
    if (at < 16) key_bytes[at] = at;
    text += static_cast<char>(at);
  }
  SipKey key{};
  std::memcpy(&key, key_bytes, sizeof key);
  for (const Vector& vector : kVectors) {
    EXPECT(hex_of(siphash128(key, std::string_view(text).substr(0, vector.size))) == vector.hex);
  }
}
