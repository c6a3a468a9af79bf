// HKDF-Expand-Label. See key_schedule.h.
#include "tls/key_schedule.h"

#include <cstring>

#include "base/check.h"

namespace megacomet {

namespace {

constexpr std::string_view kPrefix = "tls13 ";
constexpr size_t kLabelBytesMax = 16;

/// A keyed digest of OpenSSL; null if memory ran out.
EVP_MAC_CTX* make_hmac(const OpenSslTls& openssl, const char* digest) {
  EVP_MAC* hmac = openssl.EVP_MAC_fetch(nullptr, "HMAC", nullptr);
  if (hmac == nullptr) return nullptr;
  EVP_MAC_CTX* made = openssl.EVP_MAC_CTX_new(hmac);
  openssl.EVP_MAC_free(hmac);
  if (made == nullptr) return nullptr;
  OSSL_PARAM parameters[2] = {};  // The second one ends the list.
  parameters[0].key = "digest";
  parameters[0].data_type = OSSL_PARAM_UTF8_STRING;
  parameters[0].data = const_cast<char*>(digest);
  parameters[0].data_size = std::strlen(digest);
  const uint8_t key[1] = {};
  // A key of some kind, so that later calls set the key alone.
  if (openssl.EVP_MAC_init(made, key, sizeof key, parameters) == 1) return made;
  openssl.EVP_MAC_CTX_free(made);
  return nullptr;
}

}  // namespace

KeySchedule::KeySchedule(const OpenSslTls& functions) : openssl_(functions) {
  for (size_t index = 0; index < kTlsSuites; ++index) {
    hmacs_[index] = make_hmac(openssl_, kTlsSuiteInfos[index].digest);
  }
}

KeySchedule::~KeySchedule() {
  for (EVP_MAC_CTX* hmac : hmacs_) openssl_.EVP_MAC_CTX_free(hmac);
}

bool KeySchedule::is_ready() const {
  for (const EVP_MAC_CTX* hmac : hmacs_) {
    if (hmac == nullptr) return false;
  }
  return true;
}

bool KeySchedule::derive(TlsSuite suite, const TlsSecret& secret, TlsKeys* keys) {
  return expand(suite, secret, "key", keys->key.data(), info_of(suite).key_bytes) &&
         expand(suite, secret, "iv", keys->iv.data(), keys->iv.size());
}

bool KeySchedule::advance(TlsSuite suite, TlsSecret* secret) {
  TlsSecret next{};
  const size_t size = info_of(suite).secret_bytes;
  const bool is_done = expand(suite, *secret, "traffic upd", next.data(), size);
  if (is_done) *secret = next;
  openssl_.OPENSSL_cleanse(next.data(), next.size());
  return is_done;
}

/// HKDF-Expand-Label(secret, label, "", size) of RFC 8446 7.1. One block of RFC 5869 2.3, because
/// nothing here is longer than the digest.
bool KeySchedule::expand(
    TlsSuite suite, const TlsSecret& secret, std::string_view label, uint8_t* out, size_t size) {
  const size_t secret_bytes = info_of(suite).secret_bytes;
  MC_CHECK(size <= secret_bytes && label.size() <= kLabelBytesMax);
  std::array<uint8_t, 5 + kPrefix.size() + kLabelBytesMax> info{};
  size_t at = 0;
  info[at++] = 0;
  info[at++] = static_cast<uint8_t>(size);
  info[at++] = static_cast<uint8_t>(kPrefix.size() + label.size());
  at = static_cast<size_t>(std::copy(kPrefix.begin(), kPrefix.end(), info.begin() + at) -
                           info.begin());
  at = static_cast<size_t>(std::copy(label.begin(), label.end(), info.begin() + at) - info.begin());
  info[at++] = 0;  // An empty context.
  info[at++] = 1;  // The number of the block.
  EVP_MAC_CTX* hmac = hmacs_[index_of(suite)];
  TlsSecret block{};
  size_t made = 0;
  const bool is_done = openssl_.EVP_MAC_init(hmac, secret.data(), secret_bytes, nullptr) == 1 &&
                       openssl_.EVP_MAC_update(hmac, info.data(), at) == 1 &&
                       openssl_.EVP_MAC_final(hmac, block.data(), &made, block.size()) == 1;
  if (is_done) std::memcpy(out, block.data(), size);
  openssl_.OPENSSL_cleanse(block.data(), block.size());
  return is_done;
}

}  // namespace megacomet
