// The keys of tokens, and whether a signature is one of theirs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "auth/mac.h"
#include "auth/token.h"
#include "os/openssl.h"

namespace megacomet {

/// Why a key was not added; a sentence, and null for none.
using KeyFault = const char*;

/// Keys of one or more algorithms. A token is verified with the keys of its own algorithm only, so
/// a public key never serves as a secret (RFC 8725 2.1).
class TokenKeys {
 public:
  /// `functions` is find_openssl(), and not null.
  explicit TokenKeys(const OpenSsl& functions) : openssl_(functions) {}
  TokenKeys(const TokenKeys&) = delete;
  TokenKeys& operator=(const TokenKeys&) = delete;
  ~TokenKeys() { clear(); }

  /// Adds a key. `id` is its `kid`; empty for a key without a name. `bytes` are the secret of
  /// HS256, at least 32 bytes (RFC 7518 3.2), and for the others the DER of a SubjectPublicKeyInfo:
  /// RSA with 2,048 to 4,096 bits, P-256, or Ed25519.
  [[nodiscard]] KeyFault add(TokenAlgorithm algorithm, std::string id, std::string_view bytes);

  void clear();

  /// kNone, kAlgorithm where no key has the token's algorithm, kUnknownKey where none has its name,
  /// or kSignature. A token without a name is tried with every key of its algorithm, and a key
  /// without a name is tried for every token.
  [[nodiscard]] TokenFault verify(const SignedToken& token);

  /// Whether a key of this algorithm has this name.
  [[nodiscard]] bool has(TokenAlgorithm algorithm, std::string_view id) const;

 private:
  struct Key {
    TokenAlgorithm algorithm;
    std::string id;
    std::unique_ptr<Mac> mac;        // Of HS256.
    EVP_PKEY* public_key = nullptr;  // Of the others.
  };

  [[nodiscard]] KeyFault add_secret(Key* key, std::string_view secret);
  [[nodiscard]] KeyFault add_public(Key* key, std::string_view der);
  [[nodiscard]] KeyFault fault_of(TokenAlgorithm algorithm, const EVP_PKEY* key) const;
  [[nodiscard]] bool is_signed_by(const Key& key, const SignedToken& token);
  [[nodiscard]] bool has_mac(const Key& key, const SignedToken& token);
  [[nodiscard]] bool has_signature(const Key& key, const SignedToken& token);

  const OpenSsl& openssl_;
  std::vector<Key> keys_;
};

}  // namespace megacomet
