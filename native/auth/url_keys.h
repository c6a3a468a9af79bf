// The keys of signed URLs. Several are valid at the same time, such as the old and the new one of a
// rotation.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "auth/mac.h"
#include "auth/signed_url.h"
#include "os/openssl.h"

namespace megacomet {

class UrlKeys {
 public:
  /// `functions` is find_openssl(), and not null.
  explicit UrlKeys(const OpenSsl& functions) : openssl_(functions) {}

  /// False if the secret is too short, or OpenSSL does not take it.
  [[nodiscard]] bool add(std::string_view secret);

  /// Verifies a URL at a time of the wall clock. It is valid before the second of its expiry,
  /// without leeway, because a URL that ends a moment early is only fetched again.
  [[nodiscard]] UrlFault verify(const SignedUrl& url, uint64_t now_s);

 private:
  [[nodiscard]] bool is_signed(const SignedUrl& url);

  const OpenSsl& openssl_;
  std::vector<std::unique_ptr<Mac>> keys_;
};

}  // namespace megacomet
