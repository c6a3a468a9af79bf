// OpenSSL and tokens. See tokens.h.
#include "support/tokens.h"

#include <algorithm>

#include <dlfcn.h>

#include "auth/mac.h"
#include "codec/digest.h"
#include "support/unit.h"

namespace unit {

using namespace megacomet;

const OpenSsl& openssl() {
  ::dlopen("libcrypto.so.3", RTLD_NOW | RTLD_GLOBAL);
  const OpenSsl* found = find_openssl();
  EXPECT(std::string(missing_openssl_function()).empty());
  return *found;
}

std::string base64url(std::string_view bytes) {
  std::string text(base64_size(bytes.size()), '\0');
  base64_encode(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), text.data());
  std::replace(text.begin(), text.end(), '+', '-');
  std::replace(text.begin(), text.end(), '/', '_');
  return text.substr(0, text.find('='));
}

std::string hs256_token(std::string_view secret,
                        std::string_view payload,
                        std::string_view header) {
  const std::string text = base64url(header) + '.' + base64url(payload);
  MacDigest digest;
  EXPECT(Mac(openssl(), secret).digest(text, &digest));
  return text + '.' + base64url({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

}  // namespace unit
