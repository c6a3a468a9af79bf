// Verifying with OpenSSL. See token_keys.h.
#include "auth/token_keys.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/bounds.h"

namespace megacomet {

namespace {

constexpr int kRsaBitsMin = 2048;
constexpr int kRsaBitsMax = 4096;
/// R and S of P-256, each of 32 bytes (RFC 7518 3.4).
constexpr size_t kEcdsaNumberBytes = 32;
constexpr uint8_t kDerSequence = 0x30;
constexpr uint8_t kDerInteger = 0x02;
/// A sequence of two integers of at most 33 bytes.
constexpr size_t kEcdsaDerBytesMax = 2 + 2 * (2 + kEcdsaNumberBytes + 1);

/// Writes an unsigned number as a DER integer: no leading zeros, but one before a high bit.
uint8_t* write_integer(const uint8_t* number, uint8_t* out) {
  size_t skipped = 0;
  while (skipped < kEcdsaNumberBytes - 1 && number[skipped] == 0) ++skipped;
  const size_t size = kEcdsaNumberBytes - skipped;
  const bool is_padded = (number[skipped] & 0x80U) != 0;
  *out++ = kDerInteger;
  *out++ = static_cast<uint8_t>(size + (is_padded ? 1 : 0));
  if (is_padded) *out++ = 0;
  std::memcpy(out, number + skipped, size);
  return out + size;
}

/// The form of a signature that OpenSSL reads; returns its size.
size_t write_ecdsa_der(const uint8_t* numbers, std::array<uint8_t, kEcdsaDerBytesMax>* out) {
  uint8_t* end = write_integer(numbers, out->data() + 2);
  end = write_integer(numbers + kEcdsaNumberBytes, end);
  (*out)[0] = kDerSequence;
  (*out)[1] = static_cast<uint8_t>(end - out->data() - 2);
  return static_cast<size_t>(end - out->data());
}

}  // namespace

KeyFault TokenKeys::add(TokenAlgorithm algorithm, std::string id, std::string_view bytes) {
  Key key{algorithm, std::move(id), nullptr};
  const bool is_secret = algorithm == TokenAlgorithm::kHs256;
  const KeyFault fault = is_secret ? add_secret(&key, bytes) : add_public(&key, bytes);
  openssl_.ERR_clear_error();
  if (fault == nullptr) keys_.push_back(std::move(key));
  return fault;
}

KeyFault TokenKeys::add_secret(Key* key, std::string_view secret) {
  if (secret.size() < bounds::kSecretBytesMin) return "the secret of HS256 has less than 32 bytes";
  key->mac = std::make_unique<Mac>(openssl_, secret);
  return key->mac->is_ready() ? nullptr : "OpenSSL does not take the secret";
}

KeyFault TokenKeys::add_public(Key* key, std::string_view der) {
  const uint8_t* at = openssl_bytes(der);
  key->public_key = openssl_.d2i_PUBKEY(nullptr, &at, static_cast<long>(der.size()));
  if (key->public_key == nullptr) return "not a public key in DER";
  const bool is_whole = at == openssl_bytes(der) + der.size();
  const KeyFault fault =
      is_whole ? fault_of(key->algorithm, key->public_key) : "bytes follow the public key";
  if (fault != nullptr) openssl_.EVP_PKEY_free(key->public_key);
  return fault;
}

KeyFault TokenKeys::fault_of(TokenAlgorithm algorithm, const EVP_PKEY* key) const {
  if (algorithm == TokenAlgorithm::kEdDsa) {
    return openssl_.EVP_PKEY_is_a(key, "ED25519") == 1 ? nullptr : "not an Ed25519 key";
  }
  if (algorithm == TokenAlgorithm::kRs256) {
    if (openssl_.EVP_PKEY_is_a(key, "RSA") != 1) return "not an RSA key";
    const int bits = openssl_.EVP_PKEY_get_bits(key);
    const bool is_sized = bits >= kRsaBitsMin && bits <= kRsaBitsMax;
    return is_sized ? nullptr : "an RSA key needs 2,048 to 4,096 bits";
  }
  char curve[32] = {};
  const bool is_p256 = openssl_.EVP_PKEY_is_a(key, "EC") == 1 &&
                       openssl_.EVP_PKEY_get_group_name(key, curve, sizeof curve, nullptr) == 1 &&
                       std::strcmp(curve, "prime256v1") == 0;
  return is_p256 ? nullptr : "not a key of the curve P-256";
}

void TokenKeys::clear() {
  for (const Key& key : keys_) openssl_.EVP_PKEY_free(key.public_key);
  keys_.clear();
}

TokenFault TokenKeys::verify(const SignedToken& token) {
  TokenFault fault = TokenFault::kAlgorithm;
  for (const Key& key : keys_) {
    if (key.algorithm != token.algorithm) continue;
    if (fault == TokenFault::kAlgorithm) fault = TokenFault::kUnknownKey;
    if (!key.id.empty() && !token.key_id.empty() && key.id != token.key_id) continue;
    fault = TokenFault::kSignature;
    if (is_signed_by(key, token)) return TokenFault::kNone;
  }
  return fault;
}

bool TokenKeys::has(TokenAlgorithm algorithm, std::string_view id) const {
  return std::any_of(keys_.begin(), keys_.end(), [&](const Key& key) {
    return key.algorithm == algorithm && key.id == id;
  });
}

bool TokenKeys::is_signed_by(const Key& key, const SignedToken& token) {
  if (key.mac != nullptr) return has_mac(key, token);
  const bool is_verified = has_signature(key, token);
  // The queue of errors is one for the whole process.
  if (!is_verified) openssl_.ERR_clear_error();
  return is_verified;
}

bool TokenKeys::has_mac(const Key& key, const SignedToken& token) {
  if (token.signature_bytes != sizeof(MacDigest)) return false;
  MacDigest expected;
  return key.mac->digest(token.signed_text, &expected) &&
         openssl_.CRYPTO_memcmp(expected.data(), token.signature.data(), expected.size()) == 0;
}

bool TokenKeys::has_signature(const Key& key, const SignedToken& token) {
  const uint8_t* signature = token.signature.data();
  size_t size = token.signature_bytes;
  std::array<uint8_t, kEcdsaDerBytesMax> der;
  if (key.algorithm == TokenAlgorithm::kEs256) {
    if (size != 2 * kEcdsaNumberBytes) return false;
    size = write_ecdsa_der(signature, &der);
    signature = der.data();
  }
  EVP_MD_CTX* context = openssl_.EVP_MD_CTX_new();
  if (context == nullptr) return false;
  // Ed25519 hashes by itself (EVP_SIGNATURE-ED25519(7)).
  const EVP_MD* digest = key.algorithm == TokenAlgorithm::kEdDsa ? nullptr : openssl_.EVP_sha256();
  const bool is_verified =
      openssl_.EVP_DigestVerifyInit(context, nullptr, digest, nullptr, key.public_key) == 1 &&
      openssl_.EVP_DigestVerify(
          context, signature, size, openssl_bytes(token.signed_text), token.signed_text.size()) ==
          1;
  openssl_.EVP_MD_CTX_free(context);
  return is_verified;
}

}  // namespace megacomet
