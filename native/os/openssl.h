// The OpenSSL of the Node binary that loaded the addon.
// Found with dlsym(): the addon must load also where a build of Node exports none of it. The types
// are from Node's headers. Only functions that OpenSSL 3.0, that of Node 20, has.
#pragma once

#include <cstdint>
#include <string_view>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/x509.h>

namespace megacomet {

#define MC_OPENSSL(X)        \
  X(CRYPTO_memcmp)           \
  X(ERR_clear_error)         \
  X(EVP_DigestVerify)        \
  X(EVP_DigestVerifyInit)    \
  X(EVP_MAC_CTX_free)        \
  X(EVP_MAC_CTX_new)         \
  X(EVP_MAC_fetch)           \
  X(EVP_MAC_final)           \
  X(EVP_MAC_free)            \
  X(EVP_MAC_init)            \
  X(EVP_MAC_update)          \
  X(EVP_MD_CTX_free)         \
  X(EVP_MD_CTX_new)          \
  X(EVP_PKEY_free)           \
  X(EVP_PKEY_get_bits)       \
  X(EVP_PKEY_get_group_name) \
  X(EVP_PKEY_is_a)           \
  X(EVP_sha256)              \
  X(d2i_PUBKEY)

/// The functions, each under its own name.
struct OpenSsl {
#define MC_OPENSSL_MEMBER(name) decltype(&::name) name = nullptr;
  MC_OPENSSL(MC_OPENSSL_MEMBER)
#undef MC_OPENSSL_MEMBER
};

/// A text as OpenSSL takes it.
[[nodiscard]] inline const uint8_t* openssl_bytes(std::string_view text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}

/// The functions of this process, found at the first call; null if one is missing.
[[nodiscard]] const OpenSsl* find_openssl();

/// The first function that is missing, for a message; "" if none is.
[[nodiscard]] const char* missing_openssl_function();

}  // namespace megacomet
