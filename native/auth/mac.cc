// HMAC by OpenSSL. See mac.h.
#include "auth/mac.h"

namespace megacomet {

Mac::Mac(const OpenSsl& functions, std::string_view key) : openssl_(functions) {
  EVP_MAC* hmac = openssl_.EVP_MAC_fetch(nullptr, "HMAC", nullptr);
  if (hmac == nullptr) return;
  keyed_ = openssl_.EVP_MAC_CTX_new(hmac);
  openssl_.EVP_MAC_free(hmac);
  char digest[] = "SHA256";
  OSSL_PARAM parameters[2] = {};  // The second one ends the list.
  parameters[0].key = "digest";
  parameters[0].data_type = OSSL_PARAM_UTF8_STRING;
  parameters[0].data = digest;
  parameters[0].data_size = sizeof digest - 1;
  if (keyed_ == nullptr ||
      openssl_.EVP_MAC_init(keyed_, openssl_bytes(key), key.size(), parameters) == 1) {
    return;
  }
  openssl_.EVP_MAC_CTX_free(keyed_);
  keyed_ = nullptr;
}

bool Mac::digest(std::string_view text, MacDigest* out) {
  size_t size = 0;
  // Without a key it begins anew with the one that it has (EVP_MAC(3)). A copy would cost as much
  // as the digest.
  return openssl_.EVP_MAC_init(keyed_, nullptr, 0, nullptr) == 1 &&
         openssl_.EVP_MAC_update(keyed_, openssl_bytes(text), text.size()) == 1 &&
         openssl_.EVP_MAC_final(keyed_, out->data(), &size, out->size()) == 1;
}

}  // namespace megacomet
