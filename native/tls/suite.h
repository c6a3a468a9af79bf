// The cipher suites of TLS 1.3 (RFC 8446 B.4) that a connection can have after its handshake.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace megacomet {

/// The low byte of the suite's number in the handshake; the high one is 0x13.
enum class TlsSuite : uint8_t {
  kNone = 0,
  kAes128GcmSha256 = 1,
  kAes256GcmSha384 = 2,
  kChaCha20Poly1305Sha256 = 3,
};

constexpr size_t kTlsSuites = 3;
/// SHA-384 makes the longest secret.
constexpr size_t kTlsSecretBytesMax = 48;
constexpr size_t kTlsKeyBytesMax = 32;
/// Each of these suites has a nonce of 12 bytes and a tag of 16 (RFC 8446 5.3, RFC 5116).
constexpr size_t kTlsIvBytes = 12;
constexpr size_t kTlsTagBytes = 16;

/// How OpenSSL names a suite's algorithms, and the sizes that follow from them.
struct TlsSuiteInfo {
  const char* cipher;
  const char* digest;
  uint8_t key_bytes;
  uint8_t secret_bytes;
};

constexpr std::array<TlsSuiteInfo, kTlsSuites> kTlsSuiteInfos = {{
    {"AES-128-GCM", "SHA256", 16, 32},
    {"AES-256-GCM", "SHA384", 32, 48},
    {"ChaCha20-Poly1305", "SHA256", 32, 32},
}};

/// The index of a suite in tables of kTlsSuites.
[[nodiscard]] constexpr size_t index_of(TlsSuite suite) {
  return static_cast<size_t>(suite) - 1;
}

[[nodiscard]] constexpr const TlsSuiteInfo& info_of(TlsSuite suite) {
  return kTlsSuiteInfos[index_of(suite)];
}

/// A traffic secret; the suite says how many of its bytes count.
using TlsSecret = std::array<uint8_t, kTlsSecretBytesMax>;

/// The keys of the records of one direction (RFC 8446 7.3).
struct TlsKeys {
  std::array<uint8_t, kTlsKeyBytesMax> key;
  std::array<uint8_t, kTlsIvBytes> iv;
};

}  // namespace megacomet
