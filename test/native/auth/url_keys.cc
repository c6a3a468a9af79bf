// Tests of signatures of URLs. The values come from Python's hmac module.
#include "auth/url_keys.h"

#include <string>
#include <string_view>

#include "base/bounds.h"
#include "support/tokens.h"
#include "support/unit.h"

using namespace megacomet;

namespace {

constexpr uint32_t kEnd = 2'000'000'000;
constexpr std::string_view kText = "/events\nchannel=a\nexpires=2000000000";
/// With 32 times "k" and 32 times "o".
constexpr std::string_view kByNew = "5AZknpIZXD-tCblZwkqmel8t9Y_-yOjpFpiuQXcXUXo";
constexpr std::string_view kByOld = "bn0FkOJOuazGzqTJLp-WgXm-QmPn_pJWDqXO9CkoRiY";

UrlFault verify(UrlKeys* keys,
                std::string_view signature,
                uint64_t now_s = kEnd - 1,
                std::string_view text = kText) {
  return keys->verify({std::string(text), std::string(signature), kEnd}, now_s);
}

}  // namespace

TEST("a URL counts before the second of its expiry, and a wrong one is never an expired one") {
  UrlKeys keys(unit::openssl());
  EXPECT(keys.add(std::string(32, 'k')));
  EXPECT(verify(&keys, kByNew, 0) == UrlFault::kNone);
  EXPECT(verify(&keys, kByNew, kEnd - 1) == UrlFault::kNone);
  EXPECT(verify(&keys, kByNew, kEnd) == UrlFault::kExpired);
  EXPECT(verify(&keys, kByNew, UINT64_MAX) == UrlFault::kExpired);
  EXPECT(verify(&keys, kByOld, kEnd) == UrlFault::kSignature);
}

TEST("each of several keys verifies URLs, and without a key none is signed") {
  UrlKeys keys(unit::openssl());
  EXPECT(verify(&keys, kByNew) == UrlFault::kSignature);
  EXPECT(keys.add(std::string(32, 'k')));
  EXPECT(verify(&keys, kByOld) == UrlFault::kSignature);
  EXPECT(keys.add(std::string(32, 'o')));
  EXPECT(verify(&keys, kByOld) == UrlFault::kNone);
  EXPECT(verify(&keys, kByNew) == UrlFault::kNone);
}

TEST("a secret that is too short is not a key") {
  UrlKeys keys(unit::openssl());
  EXPECT(!keys.add(""));
  EXPECT(!keys.add(std::string(bounds::kSecretBytesMin - 1, 'k')));
  EXPECT(verify(&keys, kByNew) == UrlFault::kSignature);
}

TEST("a changed text, and any other spelling of the signature, is wrong") {
  UrlKeys keys(unit::openssl());
  EXPECT(keys.add(std::string(32, 'k')));
  for (size_t at = 0; at < kText.size(); ++at) {
    std::string text(kText);
    text[at] = static_cast<char>(text[at] ^ 1);
    EXPECT(verify(&keys, kByNew, 0, text) == UrlFault::kSignature);
  }
  for (size_t at = 0; at < kByNew.size(); ++at) {
    std::string signature(kByNew);
    signature[at] = signature[at] == 'A' ? 'B' : 'A';
    EXPECT(verify(&keys, signature) == UrlFault::kSignature);
    EXPECT(verify(&keys, kByNew.substr(0, at)) == UrlFault::kSignature);
  }
  const std::string good(kByNew);
  // The last digit has two bits that are not used; they must be zero.
  for (const std::string& other :
       {good + "=", good + "A", good.substr(0, 42) + "p", " " + good, good + good, good + '\0'}) {
    EXPECT(verify(&keys, other) == UrlFault::kSignature);
  }
}
