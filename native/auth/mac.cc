// HMAC by OpenSSL. See mac.h.
#include "auth/mac.h"

namespace megacomet {

namespace {

const uint8_t* bytes_of(std::string_view text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}

}  // namespace

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
      openssl_.EVP_MAC_init(keyed_, bytes_of(key), key.size(), parameters) == 1) {
    return;
  }
  openssl_.EVP_MAC_CTX_free(keyed_);
  keyed_ = nullptr;
}

bool Mac::digest(std::string_view text, MacDigest* out) const {
  EVP_MAC_CTX* context = openssl_.EVP_MAC_CTX_dup(keyed_);
  if (context == nullptr) return false;
  size_t size = 0;
  const bool is_done = openssl_.EVP_MAC_update(context, bytes_of(text), text.size()) == 1 &&
                       openssl_.EVP_MAC_final(context, out->data(), &size, out->size()) == 1;
  openssl_.EVP_MAC_CTX_free(context);
  return is_done;
}

}  // namespace megacomet
