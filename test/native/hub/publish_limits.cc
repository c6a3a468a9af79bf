// Tests of the rates of clients that publish.
#include "hub/publish_limits.h"

#include "support/unit.h"

using namespace megacomet;

namespace {

constexpr uint64_t kSecond = 1'000'000'000;

/// Messages that a client may send at once.
uint32_t burst_of(PublishLimits* limits, const ConnectionName& client, uint64_t now_ns) {
  uint32_t count = 0;
  while (count < 100'000 && limits->count_client(client, now_ns)) ++count;
  return count;
}

}  // namespace

TEST("a client may publish at its rate, with a burst of one second") {
  PublishLimits limits;
  limits.set_client_rate(10);
  const ConnectionName client{5, 1};
  EXPECT_EQUAL(burst_of(&limits, client, kSecond), 10U);
  EXPECT(!limits.count_client(client, kSecond));
  EXPECT_EQUAL(burst_of(&limits, client, kSecond + kSecond / 2), 5U);
  EXPECT_EQUAL(burst_of(&limits, client, 100 * kSecond), 10U);
}

TEST("clients do not share a rate, and the next connection of a descriptor begins anew") {
  PublishLimits limits;
  limits.set_client_rate(3);
  for (uint32_t fd = 0; fd < 500; ++fd) EXPECT_EQUAL(burst_of(&limits, {fd, fd}, kSecond), 3U);
  for (uint32_t fd = 0; fd < 500; ++fd) EXPECT_EQUAL(burst_of(&limits, {fd, fd}, kSecond), 0U);
  EXPECT_EQUAL(burst_of(&limits, {7, 1000}, kSecond), 3U);
}

TEST("more clients than the table has entries are served, each at about its rate") {
  PublishLimits limits;
  limits.set_client_rate(2);
  uint32_t admitted = 0;
  for (uint32_t round = 0; round < 3; ++round) {
    for (uint32_t fd = 0; fd < 20'000; ++fd) admitted += burst_of(&limits, {fd, 1}, kSecond);
  }
  EXPECT(admitted >= 40'000 && admitted <= 120'000);
}

TEST("all clients of a worker have a rate together, whatever each of them has left") {
  PublishLimits limits;
  limits.set_client_rate(100);
  limits.set_worker_rate(1'000'000);
  uint32_t admitted = 0;
  for (uint32_t fd = 0; fd < 50; ++fd) {
    for (uint32_t sent = burst_of(&limits, {fd, 1}, kSecond); sent > 0; --sent) {
      admitted += limits.count_all(kSecond) ? 1 : 0;
    }
  }
  EXPECT_EQUAL(admitted, 100U);
  EXPECT(limits.count_client({99, 1}, kSecond) && !limits.count_all(kSecond));
}

TEST("without rates nothing is limited") {
  PublishLimits limits;
  limits.set_client_rate(0);
  EXPECT_EQUAL(burst_of(&limits, {5, 1}, kSecond), 100'000U);
}
