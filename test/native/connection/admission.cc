// Tests of admission: the two limits, the shared count, waiting listeners, the spare descriptor.
#include "connection/admission.h"

#include <fcntl.h>

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

/// Two workers of one server.
struct Pair {
  Pair(uint32_t own_max, uint32_t server_max) {
    EXPECT(segment.create(2));
    for (uint32_t slot = 0; slot < 2; ++slot) {
      workers[slot].attach(&segment, slot);
      workers[slot].set_limits(own_max, server_max, 0);
    }
  }
  [[nodiscard]] uint64_t gauge(uint32_t slot) {
    Counters counters;
    counters.attach(&segment.block(slot));
    return counters.get(Counter::kConnections);
  }
  Segment segment;
  Admission workers[2];
};

}  // namespace

TEST("a full worker rejects if the whole server is full, and waits if others have room") {
  Pair pair(2, 3);
  EXPECT(pair.workers[0].verdict() == Verdict::kAccept);
  EXPECT(pair.workers[0].enter() && pair.workers[0].enter());
  EXPECT(pair.workers[0].verdict() == Verdict::kWait);
  EXPECT(pair.workers[1].verdict() == Verdict::kAccept);
  EXPECT(pair.workers[1].enter());
  EXPECT(pair.workers[0].verdict() == Verdict::kReject);
}

TEST("enter() fails for a worker with room if the server has none") {
  Pair pair(2, 3);
  EXPECT(pair.workers[0].enter() && pair.workers[0].enter());
  EXPECT(pair.workers[1].enter());
  EXPECT(pair.workers[1].verdict() == Verdict::kAccept);
  EXPECT(!pair.workers[1].enter());
}

TEST("a connection that admission rejected is not counted") {
  Pair pair(10, 1);
  EXPECT(pair.workers[0].enter());
  EXPECT(!pair.workers[1].enter());
  EXPECT_EQUAL(pair.segment.shared().connections.load(), 1);
  EXPECT_EQUAL(pair.workers[1].connections(), 0U);
  EXPECT_EQUAL(pair.gauge(1), 0U);
}

TEST("the counts of two workers agree over random entries and leaves") {
  constexpr uint32_t kServerMax = 30;
  Pair pair(20, kServerMax);
  uint32_t open[2] = {0, 0};
  for (int count = 0; count < 20'000; ++count) {
    const auto slot = static_cast<uint32_t>(unit::upto(1));
    Admission& worker = pair.workers[slot];
    if (unit::upto(1) == 0) {
      const bool has_room = open[0] + open[1] < kServerMax;
      if (worker.verdict() != Verdict::kAccept) {
        if (!EXPECT(open[slot] == 20)) return;
        continue;
      }
      if (!EXPECT_EQUAL(worker.enter(), has_room)) return;
      if (has_room) ++open[slot];
    } else if (open[slot] > 0) {
      worker.leave();
      --open[slot];
    }
    if (!EXPECT_EQUAL(pair.segment.shared().connections.load(), open[0] + open[1])) return;
    if (!EXPECT_EQUAL(pair.gauge(slot), open[slot])) return;
    if (!EXPECT_EQUAL(worker.connections(), open[slot])) return;
  }
}

TEST("admission reports each rise above 95 percent once") {
  Pair pair(100, 1000);
  Admission& worker = pair.workers[0];
  for (int count = 0; count < 94; ++count) EXPECT(worker.enter());
  EXPECT(!worker.take_near_capacity());
  EXPECT(worker.enter());
  EXPECT(worker.take_near_capacity());
  EXPECT(worker.enter());
  EXPECT(!worker.take_near_capacity());
  for (int count = 0; count < 10; ++count) worker.leave();
  for (int count = 0; count < 10; ++count) EXPECT(worker.enter());
  EXPECT(worker.take_near_capacity());
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
  pair.workers[0].set_limits(2, 10, 0);
  EXPECT_EQUAL(waiter.calls, 1);
  EXPECT(pair.workers[0].verdict() == Verdict::kAccept);
}

TEST("a limit below the number of connections admits nobody, and closes nobody") {
  Pair pair(10, 10);
  for (int count = 0; count < 5; ++count) EXPECT(pair.workers[0].enter());
  pair.workers[0].set_limits(3, 10, 0);
  EXPECT(pair.workers[0].verdict() == Verdict::kWait);
  pair.workers[0].set_limits(10, 3, 0);
  EXPECT(!pair.workers[0].enter());
  pair.workers[0].set_limits(3, 3, 0);
  EXPECT(pair.workers[0].verdict() == Verdict::kReject);
  EXPECT_EQUAL(pair.gauge(0), 5U);
}

TEST("the spare descriptor is lent once until it is restored") {
  Admission admission;
  EXPECT(!admission.lend_spare());
  admission.restore_spare();
  admission.restore_spare();
  EXPECT(admission.lend_spare());
  EXPECT(!admission.lend_spare());
}
