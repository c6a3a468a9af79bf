// Tests of remembered tokens: against a map, growth, replacement, and the users of identities.
#include "auth/known_tokens.h"

#include <map>

#include "base/bounds.h"
#include "support/unit.h"

using namespace megacomet;

namespace {

KnownToken token_of(uint32_t number, uint32_t expires_at_s) {
  KnownToken token;
  token.digest = {number * 0x9e3779b97f4a7c15U, number};
  token.identity = number + 1;
  token.expires_at_s = expires_at_s;
  return token;
}

}  // namespace

TEST("a token is known until another one replaces it, and each is released once") {
  KnownTokens known;
  std::map<uint32_t, bool> held;
  constexpr uint32_t kTokens = 3 * bounds::kKnownTokensMax;
  for (uint32_t number = 0; number < kTokens; ++number) {
    const KnownToken token = token_of(number, 1 + static_cast<uint32_t>(unit::upto(1000)));
    if (!EXPECT(known.find(token.digest) == nullptr)) return;
    const uint32_t replaced = known.add(token);
    if (replaced != 0 && !EXPECT(held.erase(replaced - 1) == 1)) return;
    held[number] = true;
    const KnownToken* found = known.find(token.digest);
    if (!EXPECT(found != nullptr && found->identity == number + 1)) return;
  }
  EXPECT(known.size() <= bounds::kKnownTokensMax && known.size() > bounds::kKnownTokensMax / 2);
  EXPECT_EQUAL(held.size(), known.size());
  for (const auto& [number, is_held] : held) {
    if (!EXPECT(known.find(token_of(number, 0).digest) != nullptr)) return;
  }
  // Forgotten at once, and released in steps, also where other tokens follow.
  known.clear();
  EXPECT_EQUAL(known.size(), 0U);
  EXPECT(known.find(token_of(kTokens - 1, 0).digest) == nullptr);
  EXPECT_EQUAL(known.add(token_of(kTokens, 1)), 0U);
  held[kTokens] = true;
  known.clear();
  const auto release = [&](uint32_t identity) { EXPECT(held.erase(identity - 1) == 1); };
  const size_t before = held.size();
  known.release_cleared(release);
  EXPECT(held.size() < before && held.size() > before - 3000);
  for (int step = 0; step < 1000 && !held.empty(); ++step) known.release_cleared(release);
  EXPECT(held.empty());
}

TEST("few tokens are all kept while the table grows") {
  KnownTokens known;
  for (uint32_t number = 0; number < 20; ++number) EXPECT_EQUAL(known.add(token_of(number, 9)), 0U);
  for (uint32_t number = 20; number < 3000; ++number) (void)known.add(token_of(number, 10));
  EXPECT(known.find(token_of(2999, 0).digest) != nullptr);
}

TEST("some tokens are forgotten, each is released once, and their entries are used again") {
  KnownTokens known;
  std::map<uint32_t, bool> held;
  constexpr uint32_t kTokens = 3000;
  for (uint32_t number = 0; number < kTokens; ++number) {
    const uint32_t replaced = known.add(token_of(number, 9));
    if (replaced != 0) held.erase(replaced - 1);
    held[number] = true;
  }
  const auto is_even = [](uint32_t identity) { return (identity - 1) % 2 == 0; };
  known.forget(
      [&](const KnownToken& token) { return is_even(token.identity); },
      [&](uint32_t identity) { EXPECT(is_even(identity) && held.erase(identity - 1) == 1); });
  EXPECT_EQUAL(known.size(), held.size());
  for (uint32_t number = 0; number < kTokens; ++number) {
    const bool is_held = held.count(number) == 1;
    if (!EXPECT((known.find(token_of(number, 0).digest) != nullptr) == is_held)) return;
  }
  EXPECT(held.size() > kTokens / 3);
  for (uint32_t number = 0; number < kTokens; number += 2) {
    const uint32_t replaced = known.add(token_of(number, 9));
    if (replaced != 0) held.erase(replaced - 1);
    held[number] = true;
  }
  EXPECT_EQUAL(known.size(), held.size());
}
