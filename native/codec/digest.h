// SHA-1 and base64 for the WebSocket handshake. SHA-1 is not OpenSSL's, because N-API does not
// guarantee that Node exports it. The handshake is its only use, and only shows that the peer
// speaks WebSocket. Do not use it for security.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace megacomet {

using Sha1Digest = std::array<uint8_t, 20>;

/// FIPS 180-4.
[[nodiscard]] Sha1Digest sha1(std::string_view bytes);

/// Characters of `bytes` bytes in base64, with padding.
[[nodiscard]] constexpr size_t base64_size(size_t bytes) {
  return (bytes + 2) / 3 * 4;
}

/// Writes base64_size(size) characters of the standard alphabet, with padding (RFC 4648 4).
void base64_encode(const uint8_t* bytes, size_t size, char* out);

/// Reads base64 as base64_encode() writes it. Rejects other alphabets, blanks, missing padding and
/// non-zero unused bits, so that different texts give different bytes. Writes `*size` bytes; false
/// for an invalid text or more than `capacity` bytes.
[[nodiscard]] bool base64_decode(std::string_view text,
                                 uint8_t* out,
                                 size_t capacity,
                                 size_t* size);

constexpr size_t kWebsocketAcceptBytes = 28;

/// Whether the value of Sec-WebSocket-Key is the base64 of 16 bytes (RFC 6455 4.2.1).
[[nodiscard]] bool is_websocket_key(std::string_view key);

/// Writes the value of Sec-WebSocket-Accept for a key (RFC 6455 4.2.2), not terminated by a zero.
void websocket_accept(std::string_view key, char (&out)[kWebsocketAcceptBytes]);

}  // namespace megacomet
