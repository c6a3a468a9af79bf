// Tests of the verification of tokens: keys that change, remembered tokens, and revocations.
#include "hub/token_verifier.h"

#include <string>
#include <vector>

#include "support/access_frames.h"
#include "support/fixture.h"
#include "support/unit.h"

using namespace megacomet;

namespace {

constexpr uint64_t kNow = 1'700'000'000;

std::string token(std::string_view payload, std::string_view secret = unit::kTokenSecret) {
  return unit::hs256_token(secret, payload);
}

struct World {
  World() {
    EXPECT(principals.reserve(100));
    EXPECT(verifier.configure(unit::access_of({unit::kTokenSecret})));
  }

  TokenFault recognize(std::string_view text, uint64_t now_s = kNow) {
    return verifier.recognize(text, now_s, &known);
  }
  void revoke(const std::string& user, const std::string& id, uint32_t before_s) {
    frame::Revoke order;
    order.user = user;
    order.id = id;
    order.before_s = before_s;
    order.ends_at_s = static_cast<uint32_t>(kNow) + 1000;
    verifier.revoke(order, {user, Principals::hash_of_id(id), before_s}, kNow);
  }

  LoopOwner loop = make_loop();
  unit::DeafHandler handler;
  Control control{loop.get(), &handler};
  Principals principals;
  TokenVerifier verifier{&principals, &control};
  KnownToken known;
};

}  // namespace

TEST("a token that was verified has the same identity again, until it expires") {
  World world;
  const std::string text = token(R"({"sub":"ada","exp":1700000100,"iat":1700000000,"jti":"x"})");
  EXPECT(world.recognize(text) == TokenFault::kNone);
  const KnownToken first = world.known;
  EXPECT(world.principals.user_of(first.identity) == "ada");
  EXPECT_EQUAL(first.expires_at_s, kNow + 100);
  EXPECT_EQUAL(first.issued_at_s, kNow);
  EXPECT_EQUAL(first.id_hash, Principals::hash_of_id("x"));
  EXPECT(world.recognize(text) == TokenFault::kNone);
  EXPECT_EQUAL(world.known.identity, first.identity);
  EXPECT(world.recognize(text, kNow + 100) == TokenFault::kExpired);
}

TEST("a token for one channel, and one with invalid channels, cannot open a connection") {
  World world;
  EXPECT(world.recognize(token(R"({"exp":1700000100,"channel":"a"})")) == TokenFault::kPurpose);
  EXPECT(world.recognize(token(R"({"exp":1700000100,"channels":["a\n"]})")) ==
         TokenFault::kMalformed);
  Claims claims;
  EXPECT(world.verifier.verify(token(R"({"exp":1700000100,"channel":"a"})"), kNow, &claims) ==
         TokenFault::kNone);
  EXPECT(claims.channel == "a");
}

TEST("the channels to which a token subscribes are granted") {
  World world;
  EXPECT(world.recognize(token(R"({"exp":1700000100,"channels":["a"]})")) == TokenFault::kNone);
  world.principals.set(5, world.known, 0);
  EXPECT(world.principals.grants(5)->allows(Action::kSubscribe, "a"));
  world.principals.forget(5);
}

TEST("with other keys the old tokens are rejected, also those that were verified before") {
  World world;
  const std::string other(32, 'o');
  const std::string old_token = token(R"({"exp":1700000100})");
  EXPECT(world.recognize(old_token) == TokenFault::kNone);
  EXPECT(world.verifier.configure(unit::access_of({other, unit::kTokenSecret})));
  EXPECT(world.recognize(old_token) == TokenFault::kNone);
  EXPECT(world.verifier.configure(unit::access_of({other})));
  EXPECT(world.recognize(old_token) == TokenFault::kSignature);
  EXPECT(world.recognize(token(R"({"exp":1700000100})", other)) == TokenFault::kNone);
  EXPECT(world.verifier.configure({}));
  EXPECT(!world.verifier.takes_tokens());
  // Their identities are released later, in steps.
  for (int second = 0; second < 3; ++second) world.verifier.trim(kNow + second);
  EXPECT_EQUAL(world.principals.identities(), 0U);
}

TEST("a key that is not valid is an error, and the former keys stay") {
  World world;
  frame::Access settings = unit::access_of({"short"});
  EXPECT(!world.verifier.configure(settings));
  settings = unit::access_of({unit::kTokenSecret});
  settings.algorithms = {99};
  EXPECT(!world.verifier.configure(settings));
  settings.algorithms.clear();
  EXPECT(!world.verifier.configure(settings));
  EXPECT(world.recognize(token(R"({"exp":1700000100})")) == TokenFault::kNone);
}

TEST("a revocation rejects the tokens of a user or an id that were issued before, and no others") {
  World world;
  const std::string of_ada = token(R"({"sub":"ada","exp":1700000100,"iat":1699999999})");
  const std::string of_bob = token(R"({"sub":"bob","exp":1700000100,"iat":1699999999,"jti":"x"})");
  EXPECT(world.recognize(of_ada) == TokenFault::kNone);
  EXPECT(world.recognize(of_bob) == TokenFault::kNone);
  world.revoke("ada", "", kNow);
  EXPECT(world.recognize(of_ada) == TokenFault::kRevoked);
  EXPECT(world.recognize(of_bob) == TokenFault::kNone);
  EXPECT(world.recognize(token(R"({"sub":"ada","exp":1700009999,"iat":1700000001})"), kNow + 1) ==
         TokenFault::kNone);
  world.revoke("", "x", kNow);
  EXPECT(world.recognize(of_bob) == TokenFault::kRevoked);
}

TEST("a token with an unknown key may be pending while keys are fetched, and is wrong after that") {
  World world;
  frame::Access settings = unit::access_of({});
  settings.flags = access_flag::kRemoteKeys | access_flag::kKeysPending;
  EXPECT(world.verifier.configure(settings));
  EXPECT(world.verifier.takes_tokens());
  const std::string text = unit::base64url(R"({"alg":"ES256","kid":"a"})") + ".e30." +
                           unit::base64url(std::string(64, 'x'));
  EXPECT(world.recognize(text) == TokenFault::kKeyPending);
  world.verifier.on_keys_checked({1000}, sys::monotonic_ns());
  EXPECT(world.recognize(text) == TokenFault::kUnknownKey);
}
