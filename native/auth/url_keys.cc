// Verifying signed URLs. See url_keys.h and signed_url.h.
#include "auth/url_keys.h"

#include <utility>

#include "base/bounds.h"
#include "codec/base64url.h"

namespace megacomet {

const char* describe(UrlFault fault) {
  switch (fault) {
    case UrlFault::kNone:
      return "";
    case UrlFault::kMalformed:
      return "signature: not a validly signed URL";
    case UrlFault::kSignature:
      return "signature: wrong";
    case UrlFault::kExpired:
      return "signature: expired";
  }
  return "";
}

bool UrlKeys::add(std::string_view secret) {
  if (secret.size() < bounds::kSecretBytesMin) return false;
  auto key = std::make_unique<Mac>(openssl_, secret);
  const bool is_ready = key->is_ready();
  openssl_.ERR_clear_error();
  if (is_ready) keys_.push_back(std::move(key));
  return is_ready;
}

UrlFault UrlKeys::verify(const SignedUrl& url, uint64_t now_s) {
  // First the signature: without it the expiry in the URL means nothing.
  if (!is_signed(url)) return UrlFault::kSignature;
  return url.expires_at_s > now_s ? UrlFault::kNone : UrlFault::kExpired;
}

bool UrlKeys::is_signed(const SignedUrl& url) {
  MacDigest given;
  if (base64url_bytes(url.signature.size()) != given.size() ||
      !base64url_decode(url.signature, given.data())) {
    return false;
  }
  for (const auto& key : keys_) {
    MacDigest expected;
    if (!key->digest(url.text, &expected)) continue;
    if (openssl_.CRYPTO_memcmp(expected.data(), given.data(), given.size()) == 0) return true;
  }
  return false;
}

}  // namespace megacomet
