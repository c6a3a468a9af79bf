// Padding of SHA-1, and base64. See digest.h.
#include "codec/digest.h"

#include <cstring>

#include "base/check.h"
#include "codec/sha1.h"

namespace megacomet {

namespace {

constexpr size_t kLengthBytes = 8;

constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr uint8_t kNoDigit = 0xff;

constexpr std::array<uint8_t, 256> make_values() {
  std::array<uint8_t, 256> values{};
  for (uint8_t& value : values) value = kNoDigit;
  for (uint8_t digit = 0; digit < 64; ++digit)
    values[static_cast<uint8_t>(kAlphabet[digit])] = digit;
  return values;
}

constexpr std::array<uint8_t, 256> kValues = make_values();

constexpr size_t kKeyBytes = 16;
constexpr size_t kKeyCharacters = base64_size(kKeyBytes);
constexpr char kWebsocketGuid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
constexpr size_t kGuidCharacters = sizeof kWebsocketGuid - 1;

void store_big_endian(uint32_t word, uint8_t* bytes) {
  for (int at = 0; at < 4; ++at) bytes[at] = static_cast<uint8_t>(word >> (24 - 8 * at));
}

}  // namespace

Sha1Digest sha1(std::string_view bytes) {
  Sha1Words hash = kSha1Start;
  const auto* at = reinterpret_cast<const uint8_t*>(bytes.data());
  size_t left = bytes.size();
  for (; left >= kSha1BlockBytes; left -= kSha1BlockBytes, at += kSha1BlockBytes) {
    sha1_add_block(&hash, at);
  }

  // FIPS 180-4 5.1.1: a one bit, zeros, and the length in bits at the end of a block.
  uint8_t block[kSha1BlockBytes] = {};
  if (left > 0) std::memcpy(block, at, left);
  block[left] = 0x80;
  if (left >= kSha1BlockBytes - kLengthBytes) {
    sha1_add_block(&hash, block);
    std::memset(block, 0, sizeof block);
  }
  const uint64_t bits = uint64_t{bytes.size()} * 8;
  store_big_endian(static_cast<uint32_t>(bits >> 32), block + kSha1BlockBytes - 8);
  store_big_endian(static_cast<uint32_t>(bits), block + kSha1BlockBytes - 4);
  sha1_add_block(&hash, block);

  Sha1Digest digest{};
  for (size_t word = 0; word < hash.size(); ++word) {
    store_big_endian(hash[word], digest.data() + 4 * word);
  }
  return digest;
}

void base64_encode(const uint8_t* bytes, size_t size, char* out) {
  for (size_t at = 0; at < size; at += 3) {
    const size_t count = size - at < 3 ? size - at : 3;
    uint32_t group = uint32_t{bytes[at]} << 16;
    if (count > 1) group |= uint32_t{bytes[at + 1]} << 8;
    if (count > 2) group |= bytes[at + 2];
    *out++ = kAlphabet[group >> 18];
    *out++ = kAlphabet[group >> 12 & 63];
    *out++ = count > 1 ? kAlphabet[group >> 6 & 63] : '=';
    *out++ = count > 2 ? kAlphabet[group & 63] : '=';
  }
}

bool base64_decode(std::string_view text, uint8_t* out, size_t capacity, size_t* size) {
  if (text.size() % 4 != 0) return false;
  size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  const size_t wanted = text.size() / 4 * 3 - padding;
  if (wanted > capacity) return false;
  uint32_t group = 0;
  size_t written = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    const bool is_padding = at >= text.size() - padding;
    const uint8_t value = is_padding ? 0 : kValues[static_cast<uint8_t>(text[at])];
    if (value == kNoDigit) return false;
    group = group << 6 | value;
    if (at % 4 != 3) continue;
    for (int shift = 16; shift >= 0; shift -= 8) {
      const auto byte = static_cast<uint8_t>(group >> shift);
      if (written < wanted) {
        out[written++] = byte;
      } else if (byte != 0) {
        return false;  // Unused bits before padding must be zero (RFC 4648 3.5).
      }
    }
    group = 0;
  }
  *size = written;
  return true;
}

bool is_websocket_key(std::string_view key) {
  uint8_t bytes[kKeyBytes];
  size_t size = 0;
  return base64_decode(key, bytes, sizeof bytes, &size) && size == kKeyBytes;
}

void websocket_accept(std::string_view key, char (&out)[kWebsocketAcceptBytes]) {
  static_assert(base64_size(sizeof(Sha1Digest)) == kWebsocketAcceptBytes);
  MC_CHECK(key.size() == kKeyCharacters);
  char text[kKeyCharacters + kGuidCharacters];
  std::memcpy(text, key.data(), kKeyCharacters);
  std::memcpy(text + kKeyCharacters, kWebsocketGuid, kGuidCharacters);
  const Sha1Digest digest = sha1({text, sizeof text});
  base64_encode(digest.data(), digest.size(), out);
}

}  // namespace megacomet
