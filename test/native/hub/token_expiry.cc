// Tests of the times at which connections with a token end.
#include "hub/token_expiry.h"

#include <algorithm>

#include "support/fake_owner.h"
#include "support/unit.h"

using namespace megacomet;

namespace {

constexpr uint32_t kNow = 1'700'000'000;

struct World {
  World() {
    EXPECT(records.map(200));
    EXPECT(principals.reserve(200));
  }
  ~World() {
    records.visit(0, records.capacity(), [this](Connection& connection) {
      if (connection.state == ConnectionState::kFree) return true;
      principals.forget(connection.fd());
      records.release(connection.fd());
      return true;
    });
  }

  /// The earliest and the latest of many ends of one token.
  std::pair<uint32_t, uint32_t> ends(uint32_t issued_at_s, uint32_t expires_at_s) {
    KnownToken token;
    token.issued_at_s = issued_at_s;
    token.expires_at_s = expires_at_s;
    std::pair<uint32_t, uint32_t> found{UINT32_MAX, 0};
    for (int count = 0; count < 1000; ++count) {
      const uint32_t end_s = expiry.end_of(token, kNow);
      found = {std::min(found.first, end_s), std::max(found.second, end_s)};
    }
    return found;
  }
  void open(int fd, uint32_t ends_at_s) {
    owner.open(fd);
    KnownToken token;
    token.identity = principals.acquire({});
    principals.set(fd, token, ends_at_s);
    principals.release(token.identity);
  }

  Slab<Connection> records;
  unit::FakeOwner owner{&records};
  Principals principals;
  Random random{1};
  TokenExpiry expiry{{&principals, &owner, &records, &random}};
};

}  // namespace

TEST("a connection ends within the last tenth of its token's life, and the last minute") {
  World world;
  const auto [first, last] = world.ends(kNow, kNow + 100);
  EXPECT_EQUAL(first, kNow + 90);
  EXPECT_EQUAL(last, kNow + 100);
  EXPECT_EQUAL(world.ends(kNow, kNow + 100'000).first, kNow + 99'940);
  EXPECT_EQUAL(world.ends(0, kNow + 100).first, kNow + 90);
}

TEST("a client that presents its token late keeps half of the remaining time") {
  World world;
  const auto [first, last] = world.ends(kNow - 1000, kNow + 20);
  EXPECT_EQUAL(first, kNow + 10);
  EXPECT_EQUAL(last, kNow + 20);
  EXPECT_EQUAL(world.ends(kNow - 1000, kNow + 1).first, kNow + 1);
}

TEST("a token without expiry never ends, and one of the first second ends at once") {
  World world;
  EXPECT_EQUAL(world.ends(kNow, UINT32_MAX).second, 0U);
  EXPECT_EQUAL(world.ends(0, 1).first, 1U);
}

TEST("connections whose time comes before the next second end, and no others") {
  World world;
  world.open(5, kNow);
  world.open(6, kNow + 1);
  world.open(7, kNow + 2);
  world.open(8, 0);
  world.open(150, kNow - 50);
  world.expiry.end_expired(kNow);
  EXPECT_EQUAL(world.owner.closed.size(), 3U);
  for (const int fd : {5, 6, 150}) EXPECT(world.owner.closed[fd] == CloseCause::kExpired);
  world.principals.forget(5);
  world.principals.forget(6);
  world.principals.forget(150);
  world.expiry.end_expired(kNow + 1);
  EXPECT_EQUAL(world.owner.closed.count(7), 1U);
  EXPECT_EQUAL(world.owner.closed.count(8), 0U);
}
