// FNV-1a, 64 bits. An attacker who chooses the text can find collisions.
#pragma once

#include <cstdint>
#include <string_view>

namespace megacomet {

constexpr uint64_t kFnvStart = 0xcbf29ce484222325;

/// Continues `hash` with one byte.
[[nodiscard]] constexpr uint64_t fnv1a(uint8_t byte, uint64_t hash) {
  return (hash ^ byte) * 0x100000001b3;
}

/// Continues `hash` with every byte of a text.
[[nodiscard]] constexpr uint64_t fnv1a(std::string_view text, uint64_t hash = kFnvStart) {
  for (const char byte : text) hash = fnv1a(static_cast<uint8_t>(byte), hash);
  return hash;
}

}  // namespace megacomet
