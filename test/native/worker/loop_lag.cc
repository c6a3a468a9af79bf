// Tests of the loop lag: buckets, heartbeat, and a maximum that expires.
#include "worker/loop_lag.h"

#include <memory>

#include "support/unit.h"

using namespace megacomet;

namespace {

constexpr uint64_t kNsPerUs = 1000;

struct Measured {
  Measured() {
    lag.attach(block.get());
    counters.attach(block.get());
  }
  void iterate(uint64_t us) {
    lag.begin_iteration(now_ns);
    now_ns += us * kNsPerUs;
    lag.end_iteration(now_ns);
  }
  [[nodiscard]] uint64_t max_us() const { return counters.get(Counter::kLoopLagMaxUs); }
  [[nodiscard]] uint64_t bucket(size_t index) { return block->lag[index].load(); }

  std::unique_ptr<Block> block = std::make_unique<Block>();
  LoopLag lag;
  Counters counters;
  uint64_t now_ns = 1'000'000;
};

}  // namespace

TEST("an iteration of less than 2^b microseconds is counted in bucket b") {
  for (size_t index = 0; index < kLagBuckets - 1; ++index) {
    Measured measured;
    measured.iterate((uint64_t{1} << index) - 1);
    EXPECT_EQUAL(measured.bucket(index), 1U);
    if (index == 0) continue;
    measured.iterate(uint64_t{1} << (index - 1));
    EXPECT_EQUAL(measured.bucket(index), 2U);
  }
}

TEST("an iteration longer than every bucket is counted in the last") {
  Measured measured;
  measured.iterate(uint64_t{1} << 40U);
  EXPECT_EQUAL(measured.bucket(kLagBuckets - 1), 1U);
}

TEST("the end of an iteration writes the heartbeat") {
  Measured measured;
  measured.iterate(50);
  EXPECT_EQUAL(measured.block->heartbeat_ns.load(), measured.now_ns);
}

TEST("the longest iteration is reported for ten seconds and is gone after twenty") {
  Measured measured;
  measured.iterate(5000);
  measured.iterate(70);
  EXPECT_EQUAL(measured.max_us(), 5000U);
  for (int second = 0; second < 10; ++second) measured.lag.tick();
  EXPECT_EQUAL(measured.max_us(), 5000U);
  measured.iterate(300);
  EXPECT_EQUAL(measured.max_us(), 5000U);
  for (int second = 0; second < 10; ++second) measured.lag.tick();
  EXPECT_EQUAL(measured.max_us(), 300U);
  for (int second = 0; second < 10; ++second) measured.lag.tick();
  EXPECT_EQUAL(measured.max_us(), 0U);
}
