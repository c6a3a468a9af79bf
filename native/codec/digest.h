// SHA-1 and base64, as far as the WebSocket handshake needs them.
// SHA-1 is our own: node's copy of OpenSSL is no promise of N-API, and the handshake is its only
// use. It proves that the other end speaks WebSocket and protects nothing; never use it for more.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace megacomet {

using Sha1Digest = std::array<uint8_t, 20>;

/// FIPS 180-4.
[[nodiscard]] Sha1Digest sha1(std::string_view bytes);

/// Characters that so many bytes take in base64, with padding.
[[nodiscard]] constexpr size_t base64_size(size_t bytes) {
  return (bytes + 2) / 3 * 4;
}

/// Writes base64_size(size) characters of the standard alphabet, with padding (RFC 4648 4).
void base64_encode(const uint8_t* bytes, size_t size, char* out);

/// Reads base64 as base64_encode writes it: other alphabets, blanks, missing padding and bits left
/// over are refused, so that each text stands for other bytes. Writes `*size` bytes, at most
/// `capacity`; false if more were needed or the text is none.
[[nodiscard]] bool base64_decode(std::string_view text,
                                 uint8_t* out,
                                 size_t capacity,
                                 size_t* size);

constexpr size_t kWebsocketAcceptBytes = 28;

/// Whether the value of Sec-WebSocket-Key is the base64 of 16 bytes (RFC 6455 4.2.1).
[[nodiscard]] bool is_websocket_key(std::string_view key);

/// Writes the value of Sec-WebSocket-Accept that answers a key (RFC 6455 4.2.2), no zero byte.
void websocket_accept(std::string_view key, char (&out)[kWebsocketAcceptBytes]);

}  // namespace megacomet
