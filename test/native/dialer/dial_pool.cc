// Tests of the pool: order, addresses, pace, limits and retries, without a socket.
#include "dialer/dial_pool.h"

#include <string>

#include <netinet/in.h>

#include "base/bounds.h"
#include "support/unit.h"

using namespace megacomet;

namespace {

using Action = DialStep::Action;

constexpr uint64_t kNsPerMs = 1'000'000;

frame::Dial order_of(uint32_t connections, uint32_t rate_milli = 0) {
  frame::Dial order;
  order.connections = connections;
  order.rate_milli = rate_milli;
  order.targets = {"127.0.0.1 80", "127.0.0.1 81"};
  order.sources = {"127.1.0.1 0", "127.1.0.2 0"};
  return order;
}

/// Starts connections until the pool gives none.
DialStep start_all(DialPool* pool, std::vector<uint32_t>* indexes, uint64_t now_ns = 1) {
  DialStep step = pool->next(now_ns);
  for (; step.action == Action::kOpen; step = pool->next(now_ns)) indexes->push_back(step.index);
  return step;
}

}  // namespace

TEST("a pool opens its connections in order, over every pair of addresses") {
  DialPool pool;
  EXPECT(!pool.is_configured());
  EXPECT(pool.configure(order_of(5)) == nullptr);
  std::vector<uint32_t> indexes;
  EXPECT(start_all(&pool, &indexes).action == Action::kPending);
  EXPECT((indexes == std::vector<uint32_t>{0, 1, 2, 3, 4}));
  const auto port_of = [](const Address& address) {
    return ntohs(reinterpret_cast<const sockaddr_in*>(address.get())->sin_port);
  };
  EXPECT(&pool.source(0) == &pool.source(2) && &pool.source(0) != &pool.source(1));
  EXPECT_EQUAL(port_of(pool.target(0)), 80);
  EXPECT_EQUAL(port_of(pool.target(1)), 80);
  EXPECT_EQUAL(port_of(pool.target(2)), 81);
  EXPECT_EQUAL(port_of(pool.target(4)), 80);
  EXPECT_EQUAL(pool.in_flight(), 5U);
  for (int count = 0; count < 4; ++count) pool.opened();
  EXPECT(pool.next(1).action == Action::kPending);
  pool.failed(4);
  EXPECT(pool.next(1).action == Action::kFinished);
  EXPECT_EQUAL(pool.opened_count(), 4U);
  EXPECT_EQUAL(pool.failed_count(), 1U);
}

TEST("a pool has no more connects in flight than the limit") {
  DialPool pool;
  EXPECT(pool.configure(order_of(bounds::kDialInFlightMax + 1)) == nullptr);
  std::vector<uint32_t> indexes;
  EXPECT(start_all(&pool, &indexes).action == Action::kFull);
  EXPECT_EQUAL(indexes.size(), size_t{bounds::kDialInFlightMax});
  pool.opened();
  EXPECT(pool.next(1).action == Action::kOpen);
  EXPECT(pool.next(1).action == Action::kPending);
}

TEST("a pool starts no more connects than the rate allows, and says how long to wait") {
  DialPool pool;
  // 20 connects a second: one each 50 ms.
  EXPECT(pool.configure(order_of(5, 20'000)) == nullptr);
  const uint64_t start_ns = 1000 * kNsPerMs;
  std::vector<uint32_t> indexes;
  const DialStep step = start_all(&pool, &indexes, start_ns);
  EXPECT(step.action == Action::kWait);
  EXPECT(step.wait_ms > 40 && step.wait_ms <= 51);
  EXPECT_EQUAL(indexes.size(), 1U);
  EXPECT(start_all(&pool, &indexes, start_ns + 51 * kNsPerMs).action == Action::kWait);
  EXPECT_EQUAL(indexes.size(), 2U);
}

TEST("a late connect keeps the time at which it was due, and does not move the later ones") {
  DialPool pool;
  EXPECT(pool.configure(order_of(6, 20'000)) == nullptr);
  const uint64_t start_ns = 1000 * kNsPerMs;
  EXPECT_EQUAL(pool.next(start_ns).due_ns, start_ns);
  const uint64_t late_ns = start_ns + 120 * kNsPerMs;
  EXPECT_EQUAL(pool.next(late_ns).due_ns, start_ns + 50 * kNsPerMs);
  EXPECT_EQUAL(pool.next(late_ns).due_ns, start_ns + 100 * kNsPerMs);
  const DialStep step = pool.next(late_ns);
  EXPECT(step.action == Action::kWait);
  EXPECT_EQUAL(step.wait_ms, 31U);
  DialPool unlimited;
  EXPECT(unlimited.configure(order_of(2)) == nullptr);
  EXPECT_EQUAL(unlimited.next(start_ns).due_ns, start_ns);
  EXPECT_EQUAL(unlimited.next(late_ns).due_ns, late_ns);
}

TEST("a schedule is exact after a million starts") {
  DialSchedule schedule;
  schedule.set_rate(3'000'000);
  const uint64_t start_ns = 1000 * kNsPerMs;
  EXPECT_EQUAL(schedule.due_ns(start_ns), start_ns);
  for (int count = 0; count < 1'000'001; ++count) schedule.advance();
  EXPECT_EQUAL(schedule.due_ns(start_ns), start_ns + 333'333'666'666);
}

TEST("after a restart every connection opens again, and a failed one is retried later") {
  DialPool pool;
  EXPECT(pool.configure(order_of(3)) == nullptr);
  std::vector<uint32_t> indexes;
  start_all(&pool, &indexes);
  for (int count = 0; count < 3; ++count) pool.opened();
  EXPECT(pool.next(1).action == Action::kFinished);
  pool.restart();
  EXPECT_EQUAL(pool.opened_count(), 0U);
  indexes.clear();
  start_all(&pool, &indexes);
  EXPECT_EQUAL(indexes.size(), 3U);
  pool.opened();
  pool.failed(1);
  pool.opened();
  EXPECT(pool.next(1).action == Action::kPending);
  pool.release_retries();
  const DialStep retry = pool.next(1);
  EXPECT(retry.action == Action::kOpen);
  EXPECT_EQUAL(retry.index, 1U);
  pool.opened();
  EXPECT(pool.next(1).action == Action::kFinished);
  EXPECT_EQUAL(pool.failed_count(), 0U);
}

TEST("an open connection that must reopen counts as open only once") {
  DialPool pool;
  EXPECT(pool.configure(order_of(1)) == nullptr);
  std::vector<uint32_t> indexes;
  start_all(&pool, &indexes);
  pool.opened();
  pool.reopen(0);
  EXPECT_EQUAL(pool.opened_count(), 0U);
  EXPECT(pool.next(1).action == Action::kPending);
  pool.release_retries();
  EXPECT(pool.next(1).action == Action::kOpen);
  pool.opened();
  EXPECT_EQUAL(pool.opened_count(), 1U);
  EXPECT(pool.next(1).action == Action::kFinished);
}

TEST("a pool rejects names instead of addresses, empty lists, and a second order") {
  frame::Dial order = order_of(1);
  order.targets = {"localhost 80"};
  EXPECT(DialPool().configure(order) != nullptr);
  order = order_of(1);
  order.sources = {};
  EXPECT(DialPool().configure(order) != nullptr);
  DialPool pool;
  EXPECT(pool.configure(order_of(1)) == nullptr);
  EXPECT(pool.configure(order_of(1)) != nullptr);
}
