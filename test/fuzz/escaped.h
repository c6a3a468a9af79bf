// A text in percent-encoding, for fuzz targets of URLs.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace fuzz {

/// Escapes every byte.
inline std::string escaped(std::string_view text) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const char byte : text) {
    const auto number = static_cast<uint8_t>(byte);
    out += {'%', kDigits[number >> 4], kDigits[number & 15]};
  }
  return out;
}

}  // namespace fuzz
