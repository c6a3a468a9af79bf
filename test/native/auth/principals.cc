// Tests of who connections are: shared texts, identities, and the ends of tokens.
#include "auth/principals.h"

#include <map>
#include <set>
#include <vector>

#include "auth/shared_texts.h"
#include "support/unit.h"

using namespace megacomet;

namespace {

constexpr int kDescriptors = 300;

Claims claims_of(const std::string& user, const std::string& channel = "a") {
  Claims claims;
  claims.user = user;
  claims.grants[static_cast<size_t>(Action::kSubscribe)] = {channel};
  return claims;
}

struct World {
  World() { EXPECT(principals.reserve(kDescriptors)); }

  std::set<int> ended(uint32_t until_s) {
    std::set<int> all;
    principals.visit_ended(until_s, [&](int fd) { all.insert(fd); });
    return all;
  }

  /// A connection presents a token with these claims, which are not kept.
  void set(int fd, const Claims& claims, uint32_t ends_at_s) {
    KnownToken token;
    token.identity = principals.acquire(claims);
    token.issued_at_s = static_cast<uint32_t>(claims.issued_at_s);
    token.id_hash = Principals::hash_of_id(claims.id);
    principals.set(fd, token, ends_at_s);
    principals.release(token.identity);
  }

  Principals principals;
};

}  // namespace

TEST("equal texts have one number until their last user is gone") {
  SharedTexts texts;
  const uint32_t one = texts.acquire("one");
  EXPECT_EQUAL(texts.acquire("one"), one);
  const uint32_t empty = texts.acquire("");
  EXPECT(empty != one && texts.at(empty).empty() && texts.at(one) == "one");
  EXPECT(!texts.release(one));
  EXPECT(texts.release(one));
  EXPECT_EQUAL(texts.size(), 1U);
  EXPECT_EQUAL(texts.acquire("two"), one);
  EXPECT(texts.at(one) == "two");
  EXPECT(unit::aborts([&] { texts.release(99); }));
}

TEST("a principal has the user and the grants of its last token, and others have none") {
  World world;
  world.set(7, claims_of("ada", "news/*"), 0);
  EXPECT(world.principals.user(7) == "ada");
  EXPECT(world.principals.grants(7)->allows(Action::kSubscribe, "news/1"));
  EXPECT(!world.principals.grants(7)->allows(Action::kPublish, "news/1"));
  EXPECT(!world.principals.has(8) && world.principals.user(8).empty());
  EXPECT(!world.principals.grants(8));
  world.set(7, claims_of("ada", "b"), 0);
  EXPECT(!world.principals.grants(7)->allows(Action::kSubscribe, "news/1"));
  EXPECT_EQUAL(world.principals.identities(), 1U);
  world.principals.forget(7);
  world.principals.forget(7);
  EXPECT(!world.principals.has(7));
  EXPECT_EQUAL(world.principals.identities(), 0U);
}

TEST("an info is kept once, however many connections and users have it, and ends with the last") {
  World world;
  Claims ada = claims_of("ada");
  ada.info = "{\"team\":1}";
  Claims bob = claims_of("bob");
  bob.info = ada.info;
  for (int fd = 0; fd < 100; ++fd) world.set(fd, fd % 2 == 0 ? ada : bob, 0);
  world.set(100, claims_of("carol"), 0);
  EXPECT_EQUAL(world.principals.infos(), 1U);
  EXPECT_EQUAL(world.principals.identities(), 3U);
  EXPECT(world.principals.info_of(world.principals.identity(1)) == bob.info);
  EXPECT(world.principals.user(1) == "bob");
  EXPECT(world.principals.info_of(world.principals.identity(100)).empty());
  for (int fd = 0; fd < 100; ++fd) world.principals.forget(fd);
  EXPECT_EQUAL(world.principals.infos(), 0U);
  EXPECT_EQUAL(world.principals.identities(), 1U);
}

TEST("an identity lasts as long as its last user, and has the channels of its token") {
  World world;
  Claims claims = claims_of("ada");
  claims.channels = {"mine"};
  const uint32_t identity = world.principals.acquire(claims);
  KnownToken token;
  token.identity = identity;
  world.principals.set(1, token, 0);
  world.principals.set(2, token, 0);
  world.principals.release(identity);
  world.principals.forget(1);
  EXPECT(world.principals.user(2) == "ada" && world.principals.user_of(identity) == "ada");
  EXPECT(world.principals.grants(2)->channels() == std::vector<std::string>{"mine"});
  world.principals.forget(2);
  EXPECT_EQUAL(world.principals.identities(), 0U);
}

TEST("names in grants cannot run into each other") {
  World world;
  Claims one = claims_of("u");
  one.grants[0] = {"a", "b"};
  Claims other = claims_of("u");
  other.grants[0] = {"a1 b"};
  Claims third = claims_of("u");
  third.grants[0] = {"a"};
  third.grants[1] = {"b"};
  world.set(1, one, 0);
  world.set(2, other, 0);
  world.set(3, third, 0);
  EXPECT(world.principals.grants(1)->allows(Action::kSubscribe, "b"));
  EXPECT(!world.principals.grants(2)->allows(Action::kSubscribe, "b"));
  EXPECT(!world.principals.grants(3)->allows(Action::kSubscribe, "b"));
  EXPECT(world.principals.grants(3)->allows(Action::kPublish, "b"));
}

TEST("each connection ends in the second of its token, whatever happened before") {
  World world;
  std::map<int, uint32_t> ends;
  for (uint32_t now = 1; now < 400; ++now) {
    for (int step = 0; step < 20; ++step) {
      const int fd = static_cast<int>(unit::upto(kDescriptors - 1));
      const uint64_t kind = unit::upto(3);
      const auto end = static_cast<uint32_t>(kind == 0 ? 0 : now + 1 + unit::upto(50));
      if (kind == 3) {
        world.principals.forget(fd);
        ends.erase(fd);
      } else {
        world.set(fd, claims_of("user" + std::to_string(fd % 9)), end);
        ends[fd] = end;
      }
    }
    std::set<int> wanted;
    for (const auto& [fd, end] : ends) {
      if (end != 0 && end <= now) wanted.insert(fd);
    }
    const std::set<int> found = world.ended(now);
    if (!EXPECT(found == wanted)) return;
    for (const int fd : found) {
      world.principals.forget(fd);
      ends.erase(fd);
    }
  }
  std::set<int> users;
  for (const auto& [fd, end] : ends) users.insert(fd % 9);
  EXPECT_EQUAL(world.principals.identities(), users.size());
}

TEST("a revocation visits the connections of its user or its token, and forgets them") {
  World world;
  Claims claims = claims_of("ada");
  for (int fd = 0; fd < 200; ++fd) {
    claims.user = fd % 2 == 0 ? "ada" : "bob";
    claims.id = fd % 3 == 0 ? "" : "token " + std::to_string(fd);
    claims.issued_at_s = static_cast<uint64_t>(fd);
    world.set(fd, claims, 0);
  }
  std::set<int> found;
  const auto close = [&](int fd) {
    found.insert(fd);
    world.principals.forget(fd);
  };
  const uint32_t hash = Principals::hash_of_id("token 7");
  world.principals.visit_revoked({"", hash, 6}, close);
  EXPECT(found.empty());
  world.principals.visit_revoked({"", hash, 7}, close);
  EXPECT(found == std::set<int>{7});
  found.clear();
  world.principals.visit_revoked({"ada", 0, 10}, close);
  EXPECT((found == std::set<int>{0, 2, 4, 6, 8, 10}));
  found.clear();
  world.principals.visit_user("bob", close);
  EXPECT_EQUAL(found.size(), 99U);
  found.clear();
  world.principals.visit_user("", close);
  world.principals.visit_revoked({"nobody", 0, UINT32_MAX}, close);
  EXPECT(found.empty());
}

TEST("a visited principal may be forgotten at once") {
  World world;
  for (int fd = 10; fd < 80; ++fd) world.set(fd, claims_of("u"), 5);
  size_t count = 0;
  world.principals.visit_ended(5, [&](int fd) {
    world.principals.forget(fd);
    ++count;
  });
  EXPECT_EQUAL(count, 70U);
  EXPECT(world.ended(UINT32_MAX - 1).empty());
}
