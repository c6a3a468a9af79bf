// Tests of when a worker sends the slices of its broadcasts.
#include "schedule/slice_schedule.h"

#include <memory>

#include "support/unit.h"

using namespace megacomet;

namespace {

constexpr uint64_t kMs = 1'000'000;
uint64_t now_ns = 0;

uint64_t clock_ns() {
  return now_ns;
}

/// A worker of a server of four, with a broadcast of `slices` slices.
struct Broadcast final : SliceSource {
  explicit Broadcast(SliceLeases* leases, uint32_t cores = 0) {
    now_ns = 1000 * kMs;
    counters.attach(block.get());
    schedule.set_oversubscribed(leases, 4, cores);
  }
  [[nodiscard]] bool has_slices() const override { return slices > 0; }
  [[nodiscard]] bool send_slice(uint64_t end_ns) override {
    ++sent;
    EXPECT_EQUAL(end_ns - now_ns, bounds::kFanoutSliceNs);
    now_ns = end_ns;
    if (!is_spread) --slices;
    return slices > 0 && !is_spread;
  }

  std::unique_ptr<Block> block = std::make_unique<Block>();
  Counters counters;
  SliceSchedule schedule{this, &counters, clock_ns};
  int slices = 0;
  int sent = 0;
  /// Whether the rest of the message is due later.
  bool is_spread = false;
};

}  // namespace

TEST("without a broadcast nothing is sent, and the loop may sleep") {
  SliceLeases leases{};
  Broadcast broadcast(&leases);
  EXPECT(broadcast.schedule.run() == SliceSchedule::kNever);
  EXPECT_EQUAL(broadcast.sent, 0);
}

TEST("a broadcast sends one slice per loop iteration, and the loop does not sleep before its end") {
  SliceLeases leases{};
  Broadcast broadcast(&leases);
  broadcast.slices = 3;
  EXPECT(broadcast.schedule.run() == 0. && broadcast.schedule.run() == 0.);
  EXPECT_EQUAL(broadcast.sent, 2);
  EXPECT(broadcast.schedule.run() == SliceSchedule::kNever);
  EXPECT_EQUAL(broadcast.sent, 3);
}

TEST("a message that is spread over a time continues every 10 ms") {
  SliceLeases leases{};
  Broadcast broadcast(&leases);
  broadcast.slices = 1;
  broadcast.is_spread = true;
  EXPECT(broadcast.schedule.run() == SliceSchedule::kSpreadSeconds);
  EXPECT_EQUAL(broadcast.sent, 1);
}

TEST("under accept pressure a slice yields, and each yield is counted once") {
  SliceLeases leases{};
  Broadcast broadcast(&leases);
  broadcast.slices = 3;
  broadcast.schedule.accept_pressure().note_wait(200, now_ns);
  EXPECT(broadcast.schedule.run() > 0.014);
  EXPECT_EQUAL(broadcast.sent, 1);
  now_ns += 10 * kMs;
  const double left_s = broadcast.schedule.run();
  EXPECT(left_s > 0.004 && left_s < 0.006);
  EXPECT_EQUAL(broadcast.sent, 1);
  EXPECT_EQUAL(broadcast.counters.get(Counter::kFanoutSlicesDelayedTotal), 1U);
  now_ns += 5 * kMs;
  EXPECT(broadcast.schedule.run() > 0.);
  EXPECT_EQUAL(broadcast.sent, 2);
  EXPECT_EQUAL(broadcast.counters.get(Counter::kFanoutSlicesDelayedTotal), 2U);
}

TEST("a worker without a slot sends nothing, and tries again after a slice") {
  SliceLeases leases{};
  Broadcast broadcast(&leases, 1);
  broadcast.slices = 2;
  SliceLimiter other(clock_ns);
  other.attach(&leases);
  other.set_oversubscribed(4, 1);
  EXPECT(other.enter());
  EXPECT(broadcast.schedule.run() == 0.001);
  EXPECT_EQUAL(broadcast.sent, 0);
  other.leave();
  EXPECT(broadcast.schedule.run() == 0.);
  EXPECT_EQUAL(broadcast.sent, 1);
  // A slice that has ended frees its slot.
  EXPECT(other.enter());
}
