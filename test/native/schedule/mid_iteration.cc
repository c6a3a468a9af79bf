// Tests of accepting in the middle of a long loop iteration.
#include "schedule/mid_iteration.h"

#include "support/unit.h"

using namespace megacomet;

namespace {

constexpr uint64_t kLimitNs = bounds::kMidIterationNs;
uint64_t now_ns = 0;
int clock_reads = 0;

uint64_t clock_ns() {
  ++clock_reads;
  return now_ns;
}

struct Iterating final : MidIterationHandler {
  Iterating() {
    clock_reads = 0;
    now_ns = 1'000'000'000;
    mid_iteration.set_handler(this);
    mid_iteration.begin_iteration(now_ns);
  }
  void on_mid_iteration() override { ++calls; }
  void count_events(uint32_t count) {
    for (; count > 0; --count) mid_iteration.count_event();
  }
  MidIteration mid_iteration{clock_ns};
  int calls = 0;
};

}  // namespace

TEST("a short loop iteration is never interrupted, however many events it has") {
  Iterating loop;
  now_ns += kLimitNs - 1;
  loop.count_events(10 * bounds::kMidIterationEvents);
  EXPECT_EQUAL(loop.calls, 0);
  EXPECT_EQUAL(clock_reads, 10);
  EXPECT(!loop.mid_iteration.is_late());
}

TEST("a long loop iteration is interrupted every 10 ms, between two events") {
  Iterating loop;
  now_ns += kLimitNs;
  loop.count_events(bounds::kMidIterationEvents - 1);
  EXPECT_EQUAL(loop.calls, 0);
  loop.count_events(1);
  EXPECT_EQUAL(loop.calls, 1);
  now_ns += kLimitNs - 1;
  loop.count_events(bounds::kMidIterationEvents);
  EXPECT_EQUAL(loop.calls, 1);
  now_ns += 1;
  loop.count_events(bounds::kMidIterationEvents);
  EXPECT_EQUAL(loop.calls, 2);
}

TEST("connections of a long loop iteration and of the next one may have waited") {
  Iterating loop;
  now_ns += kLimitNs;
  loop.count_events(bounds::kMidIterationEvents);
  EXPECT(loop.mid_iteration.is_late());
  loop.mid_iteration.begin_iteration(now_ns);
  EXPECT(loop.mid_iteration.is_late());
  loop.mid_iteration.begin_iteration(now_ns);
  EXPECT(!loop.mid_iteration.is_late());
}

TEST("without a handler no clock is read and no connection is late") {
  Iterating loop;
  loop.mid_iteration.set_handler(nullptr);
  now_ns += 10 * kLimitNs;
  loop.count_events(10 * bounds::kMidIterationEvents);
  EXPECT_EQUAL(clock_reads, 0);
  EXPECT(!loop.mid_iteration.is_late());
}
