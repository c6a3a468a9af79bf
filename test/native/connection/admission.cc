// Tests of admission: the limits, the allowance, waiting listeners, the spare descriptor.
#include "connection/admission.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include "support/unit.h"

using namespace megacomet;

namespace {

using Verdict = Admission::Verdict;

struct CountingWaiter final : RoomWaiter {
  void on_room() override { ++calls; }
  int calls = 0;
};

/// Waits again each time that it is woken, like a listener that reaches its limit at once.
struct StubbornWaiter final : RoomWaiter {
  explicit StubbornWaiter(Admission* admission) : admission_(admission) {}
  void on_room() override {
    ++calls;
    admission_->wait_for_room(this);
  }
  int calls = 0;

 private:
  Admission* admission_;
};

/// Two workers of one server, whose manager lets each hold `allowance` connections.
struct Pair {
  Pair(uint32_t own_max, uint32_t allowance) {
    EXPECT(segment.create(2));
    for (uint32_t slot = 0; slot < 2; ++slot) {
      EXPECT(blocks[slot].open(::dup(segment.renew(slot))));
      EXPECT_EQUAL(segment.grant(slot, allowance), allowance);
      workers[slot].attach(blocks[slot].get());
      workers[slot].set_limits(own_max, 0);
    }
  }
  [[nodiscard]] uint64_t gauge(uint32_t slot) {
    Counters counters;
    counters.attach(blocks[slot].get());
    return counters.get(Counter::kConnections);
  }
  Segment segment;
  SharedPage<Block> blocks[2];
  Admission workers[2];
};

}  // namespace

TEST("a worker without room waits, and rejects once the manager says that the server is full") {
  Pair pair(2, 1);
  Admission& worker = pair.workers[0];
  EXPECT(worker.verdict() == Verdict::kAccept);
  EXPECT(worker.enter());
  EXPECT(worker.verdict() == Verdict::kWait);
  worker.set_server_full(true);
  EXPECT(worker.verdict() == Verdict::kReject);
  worker.set_server_full(false);
  EXPECT_EQUAL(pair.segment.grant(0, 2), 2U);
  EXPECT(worker.verdict() == Verdict::kAccept);
  EXPECT(worker.enter());
  EXPECT(worker.verdict() == Verdict::kWait);
  EXPECT(pair.workers[1].verdict() == Verdict::kAccept);
}

TEST("enter() fails for a worker whose room the manager gave away") {
  Pair pair(2, 1);
  EXPECT(pair.workers[1].verdict() == Verdict::kAccept);
  EXPECT_EQUAL(pair.segment.grant(1, 0), 0U);
  EXPECT(!pair.workers[1].enter());
  EXPECT_EQUAL(pair.workers[1].connections(), 0U);
  EXPECT_EQUAL(pair.gauge(1), 0U);
}

TEST("a worker keeps its connections, and no more") {
  Pair pair(10, 5);
  Admission& worker = pair.workers[0];
  for (int count = 0; count < 3; ++count) EXPECT(worker.enter());
  EXPECT_EQUAL(pair.segment.grant(0, 1), 3U);
  EXPECT(!worker.enter());
  worker.leave();
  EXPECT(worker.enter());
  worker.leave();
  EXPECT_EQUAL(pair.segment.grant(0, 1), 2U);
  EXPECT(worker.verdict() == Verdict::kWait);
  // A count above the allowance is a lie, and gains nothing.
  pair.blocks[0]->counters[static_cast<size_t>(Counter::kConnections)] = uint64_t{1} << 40U;
  EXPECT_EQUAL(pair.segment.grant(0, 1), 2U);
}

TEST("while a manager moves room, two workers never hold more than the limit") {
  constexpr uint32_t kLimit = 8;
  Pair pair(kLimit, kLimit / 2);
  std::atomic<bool> is_over{false};
  std::vector<std::thread> threads;
  for (Admission& worker : pair.workers) {
    threads.emplace_back([&worker, &is_over] {
      while (!is_over) {
        while (worker.verdict() == Verdict::kAccept && worker.enter()) {
        }
        while (worker.connections() > 0) worker.leave();
      }
    });
  }
  uint32_t allowances[2] = {kLimit / 2, kLimit / 2};
  for (uint32_t round = 0; round < 50'000; ++round) {
    const uint32_t from = round % 2;
    // First takes, then gives, as a manager does.
    allowances[from] = pair.segment.grant(from, std::min(allowances[from], round % 3));
    allowances[1 - from] = pair.segment.grant(1 - from, kLimit - allowances[from]);
    if (!EXPECT_EQUAL(allowances[0] + allowances[1], kLimit)) break;
    // Each count is at most its allowance, apart from one that is being taken back.
    if (!EXPECT(pair.gauge(0) <= allowances[0] + 1 && pair.gauge(1) <= allowances[1] + 1)) break;
  }
  is_over = true;
  for (std::thread& thread : threads) thread.join();
}

TEST("a worker reports when a listener waits for room, and when a full server has room again") {
  Pair pair(2, 1);
  Admission& worker = pair.workers[0];
  CountingWaiter waiter;
  EXPECT(worker.enter());
  EXPECT(!worker.take_report());
  worker.wait_for_room(&waiter);
  EXPECT(worker.take_report());
  EXPECT(!worker.take_report());
  worker.set_server_full(true);
  EXPECT_EQUAL(waiter.calls, 1);
  worker.leave();
  EXPECT(worker.take_report());
  worker.set_server_full(false);
  EXPECT(worker.enter());
  worker.leave();
  EXPECT(!worker.take_report());
}

TEST("admission reports each rise above 95 percent once") {
  Pair pair(100, 200);
  Admission& worker = pair.workers[0];
  for (int count = 0; count < 94; ++count) EXPECT(worker.enter());
  EXPECT(!worker.take_report());
  EXPECT(worker.enter());
  EXPECT(worker.take_report());
  EXPECT(worker.enter());
  EXPECT(!worker.take_report());
  for (int count = 0; count < 10; ++count) worker.leave();
  for (int count = 0; count < 10; ++count) EXPECT(worker.enter());
  EXPECT(worker.take_report());
}

TEST("a waiting listener is woken once, by the next close") {
  Pair pair(1, 10);
  CountingWaiter waiter;
  StubbornWaiter stubborn(&pair.workers[0]);
  EXPECT(pair.workers[0].enter());
  pair.workers[0].wait_for_room(&waiter);
  pair.workers[0].wait_for_room(&waiter);
  pair.workers[0].wait_for_room(&stubborn);
  pair.workers[0].leave();
  EXPECT_EQUAL(waiter.calls, 1);
  EXPECT_EQUAL(stubborn.calls, 1);
  EXPECT(pair.workers[0].enter());
  pair.workers[0].leave();
  EXPECT_EQUAL(waiter.calls, 1);
  EXPECT_EQUAL(stubborn.calls, 2);
}

TEST("a waiting listener is woken when a limit is raised") {
  Pair pair(1, 10);
  CountingWaiter waiter;
  EXPECT(pair.workers[0].enter());
  pair.workers[0].wait_for_room(&waiter);
  pair.workers[0].set_limits(2, 0);
  EXPECT_EQUAL(waiter.calls, 1);
  EXPECT(pair.workers[0].verdict() == Verdict::kAccept);
}

TEST("a limit below the number of connections admits none, and closes none") {
  Pair pair(10, 10);
  for (int count = 0; count < 5; ++count) EXPECT(pair.workers[0].enter());
  pair.workers[0].set_limits(3, 0);
  EXPECT(pair.workers[0].verdict() == Verdict::kWait);
  pair.workers[0].set_server_full(true);
  EXPECT(pair.workers[0].verdict() == Verdict::kReject);
  EXPECT_EQUAL(pair.gauge(0), 5U);
}

TEST("the spare descriptor is used once until it is restored") {
  Admission admission;
  EXPECT(!admission.lend_spare());
  admission.restore_spare();
  admission.restore_spare();
  EXPECT(admission.lend_spare());
  EXPECT(!admission.lend_spare());
}
