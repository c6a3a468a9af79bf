// Tests of the rules for verified tokens: times at their boundaries, issuer, audience, and keys of
// the issuer that are not known yet.
#include "auth/authenticator.h"

#include <string>
#include <string_view>

#include "support/tokens.h"
#include "support/unit.h"

using namespace megacomet;

namespace {

constexpr uint64_t kNow = 1'700'000'000;
const std::string kSecret(32, 's');

struct World {
  /// Most payloads have one claim, so a token needs no `exp` here.
  explicit World(TokenRules rules = {}) : World(std::move(rules), true) {}
  World(TokenRules rules, bool allows_no_expiry) {
    rules.allows_no_expiry = allows_no_expiry;
    EXPECT(authenticator.keys().add(TokenAlgorithm::kHs256, "", kSecret) == nullptr);
    authenticator.set_rules(std::move(rules));
  }

  TokenFault check(std::string_view payload, uint64_t now_s = kNow) {
    return check_text(unit::hs256_token(kSecret, payload), now_s);
  }
  TokenFault check_text(std::string_view text, uint64_t now_s = kNow) {
    Claims claims;
    return authenticator.authenticate(text, now_s, &claims);
  }
  /// A token whose claims have one time.
  TokenFault check_time(const char* name, uint64_t seconds) {
    return check("{\"" + std::string(name) + "\":" + std::to_string(seconds) + "}");
  }

  Authenticator authenticator{unit::openssl()};
};

/// A token of ES256 by its header; its signature is wrong for every key.
std::string es256_token(std::string_view header) {
  return unit::base64url(header) + ".e30." + unit::base64url(std::string(64, 'x'));
}

}  // namespace

TEST("a token counts before the second of exp, and from the second of nbf and iat") {
  World world;
  EXPECT(world.check_time("exp", kNow - 1) == TokenFault::kExpired);
  EXPECT(world.check_time("exp", kNow) == TokenFault::kExpired);
  EXPECT(world.check_time("exp", kNow + 1) == TokenFault::kNone);
  for (const char* name : {"nbf", "iat"}) {
    EXPECT(world.check_time(name, kNow - 1) == TokenFault::kNone);
    EXPECT(world.check_time(name, kNow) == TokenFault::kNone);
    EXPECT(world.check_time(name, kNow + 1) == TokenFault::kNotYetValid);
  }
}

TEST("a token without exp counts only where the rules say so") {
  World world({}, false);
  for (const char* payload : {"{}", R"({"iat":1600000000})", R"({"nbf":1,"channel":"a"})"}) {
    EXPECT(world.check(payload) == TokenFault::kNoExpiry);
    EXPECT(World().check(payload) == TokenFault::kNone);
  }
  EXPECT(world.check_time("exp", kNow + 1) == TokenFault::kNone);
  EXPECT(world.check_time("exp", 0) == TokenFault::kExpired);
  EXPECT(world.check(R"({"exp":null})") == TokenFault::kMalformed);
}

TEST("a leeway moves each boundary by exactly its seconds") {
  World world({"", "", 60});
  EXPECT(world.check_time("exp", kNow - 60) == TokenFault::kExpired);
  EXPECT(world.check_time("exp", kNow - 59) == TokenFault::kNone);
  for (const char* name : {"nbf", "iat"}) {
    EXPECT(world.check_time(name, kNow + 60) == TokenFault::kNone);
    EXPECT(world.check_time(name, kNow + 61) == TokenFault::kNotYetValid);
  }
}

TEST("fractions of seconds and exponents end a token early, never late") {
  World world;
  EXPECT(world.check(R"({"exp":1700000000.999})") == TokenFault::kExpired);
  EXPECT(world.check(R"({"exp":1700000001.001})") == TokenFault::kNone);
  EXPECT(world.check(R"({"exp":1.7e9})") == TokenFault::kExpired);
  EXPECT(world.check(R"({"exp":17.00000001E8})") == TokenFault::kNone);
  EXPECT(world.check(R"({"exp":1e-400})") == TokenFault::kExpired);
  EXPECT(world.check(R"({"exp":0})") == TokenFault::kExpired);
  EXPECT(world.check(R"({"exp":-0})") == TokenFault::kExpired);
  EXPECT(world.check(R"({"exp":9007199254740991})") == TokenFault::kNone);
  for (const char* number : {"1e16", "1e308", "1e309", "1e99999999999999999999", "-1", "-1e-9"}) {
    const std::string payload = "{\"exp\":" + std::string(number) + "}";
    EXPECT(world.check(payload) == TokenFault::kMalformed);
  }
}

TEST("the clock of the epoch's begin accepts no token that has ended") {
  World world({"", "", 60});
  EXPECT(world.check(R"({"exp":1})", 61) == TokenFault::kExpired);
  EXPECT(world.check(R"({"exp":1})", 60) == TokenFault::kNone);
  EXPECT(world.check("{}", 0) == TokenFault::kNone);
}

TEST("issuer and audience are compared byte for byte, if the server has them") {
  World world({"me", "push", 0});
  EXPECT(world.check(R"({"iss":"me","aud":"push"})") == TokenFault::kNone);
  EXPECT(world.check(R"({"iss":"me","aud":["pull","push"]})") == TokenFault::kNone);
  for (const char* issuer : {"Me", "me/", "", " me", "me\\u0000"}) {
    const std::string payload = R"({"aud":"push","iss":")" + std::string(issuer) + "\"}";
    EXPECT(world.check(payload) == TokenFault::kIssuer);
  }
  EXPECT(world.check(R"({"aud":"push"})") == TokenFault::kIssuer);
  for (const char* audience : {"[]", R"(["pull"])", R"("pushy")", R"("pus")", R"("")", R"("*")"}) {
    const std::string payload = R"({"iss":"me","aud":)" + std::string(audience) + "}";
    EXPECT(world.check(payload) == TokenFault::kAudience);
  }
  EXPECT(world.check(R"({"iss":"me"})") == TokenFault::kAudience);
}

TEST("claims of a token are read only after its signature is verified") {
  World world;
  const std::string text = unit::hs256_token(std::string(32, 'x'), R"({"exp":"malformed"})");
  EXPECT(world.check_text(text) == TokenFault::kSignature);
  EXPECT(world.check(R"({"exp":"malformed"})") == TokenFault::kMalformed);
}

TEST("a token waits for a key of the issuer only if that key may exist") {
  World world;
  const std::string named = es256_token(R"({"alg":"ES256","kid":"new"})");
  const std::string nameless = es256_token(R"({"alg":"ES256"})");
  EXPECT(world.check_text(named) == TokenFault::kAlgorithm);
  world.authenticator.set_remote_keys(RemoteKeys::kPending);
  EXPECT(world.check_text(named) == TokenFault::kKeyPending);
  EXPECT(world.check_text(nameless) == TokenFault::kKeyPending);
  world.authenticator.set_remote_keys(RemoteKeys::kKnown);
  EXPECT(world.check_text(named) == TokenFault::kKeyPending);
  EXPECT(world.check_text(nameless) == TokenFault::kAlgorithm);
  // A secret is in no set of keys, and an unknown algorithm has no key at all.
  const std::string secret =
      unit::hs256_token(std::string(32, 'x'), "{}", R"({"alg":"HS256","kid":"new"})");
  EXPECT(world.check_text(secret) == TokenFault::kSignature);
  EXPECT(world.check_text(es256_token(R"({"alg":"none","kid":"new"})")) == TokenFault::kAlgorithm);
}
