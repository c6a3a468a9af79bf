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

/// For tables: short texts differ in few bits, and tables use the low ones.
[[nodiscard]] constexpr uint32_t mixed_hash(std::string_view text) {
  uint64_t hash = fnv1a(text);
  hash ^= hash >> 32U;
  hash *= 0x9e3779b97f4a7c15;
  return static_cast<uint32_t>(hash ^ (hash >> 29U));
}

}  // namespace megacomet
