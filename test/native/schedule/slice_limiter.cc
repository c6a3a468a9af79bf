// Tests of the slots for fan-out slices.
#include "schedule/slice_limiter.h"

#include "support/unit.h"

using namespace megacomet;

namespace {

constexpr uint64_t kMs = 1'000'000;
uint64_t now_ns = 0;

uint64_t clock_ns() {
  return now_ns;
}

/// The limiters of four workers of one server.
struct Limiters {
  explicit Limiters(uint32_t cores, uint32_t workers = 4) {
    now_ns = 1000 * kMs;
    for (SliceLimiter& limiter : all) {
      limiter.attach(&leases);
      limiter.set_oversubscribed(workers, cores);
    }
  }
  SliceLeases leases{};
  SliceLimiter all[4]{SliceLimiter(clock_ns),
                      SliceLimiter(clock_ns),
                      SliceLimiter(clock_ns),
                      SliceLimiter(clock_ns)};
};

}  // namespace

TEST("one worker per core sends a slice, and a worker that leaves frees its slot") {
  Limiters limiters(2);
  EXPECT(limiters.all[0].enter() && limiters.all[1].enter());
  EXPECT(!limiters.all[2].enter() && !limiters.all[3].enter());
  limiters.all[0].leave();
  EXPECT(limiters.all[2].enter() && !limiters.all[3].enter());
  limiters.all[1].leave();
  limiters.all[2].leave();
  EXPECT(limiters.all[3].enter() && limiters.all[0].enter() && !limiters.all[1].enter());
}

TEST("the slot of a worker that was preempted, froze or died is free when its lease ends") {
  Limiters limiters(1);
  EXPECT(limiters.all[0].enter());
  now_ns += 3 * kMs;
  EXPECT(!limiters.all[1].enter());
  now_ns += kMs;
  EXPECT(limiters.all[1].enter());
  // The first worker runs again, and must not release the slot of the second.
  limiters.all[0].leave();
  EXPECT(!limiters.all[2].enter());
  limiters.all[1].leave();
  EXPECT(limiters.all[2].enter());
}

TEST("a lease is longer where more workers share a core, up to eight slices") {
  struct Case {
    uint32_t workers;
    uint64_t lease_ms;
  };
  for (const Case& each : {Case{4, 4}, Case{12, 6}, Case{64, 8}}) {
    Limiters limiters(1, each.workers);
    EXPECT(limiters.all[0].enter());
    now_ns += each.lease_ms * kMs - 1;
    EXPECT(!limiters.all[1].enter());
    now_ns += 1;
    EXPECT(limiters.all[1].enter());
  }
}

TEST("without a limit every worker may enter") {
  Limiters limiters(0);
  for (SliceLimiter& limiter : limiters.all) EXPECT(limiter.enter());
  for (SliceLimiter& limiter : limiters.all) limiter.leave();
}

TEST("a worker without a slot waits one slice, then longer, and a round at most") {
  Limiters limiters(1);
  EXPECT(limiters.all[0].enter());
  double last_s = 0;
  for (int count = 0; count < 10; ++count) {
    EXPECT(!limiters.all[1].enter());
    EXPECT(limiters.all[1].wait_s() >= last_s && limiters.all[1].wait_s() <= 0.004);
    last_s = limiters.all[1].wait_s();
  }
  // A round: four slices of a millisecond.
  EXPECT(last_s == 0.004);
  limiters.all[0].leave();
  EXPECT(limiters.all[1].enter() && limiters.all[1].wait_s() == 0);
}

TEST("leases that no honest worker takes are ignored") {
  Limiters limiters(2);
  for (auto& end_ns : limiters.leases.ends_ns) end_ns = UINT64_MAX;
  EXPECT(limiters.all[0].enter() && limiters.all[1].enter());
  EXPECT(!limiters.all[2].enter());
}

TEST("a worker that gets no slot for seconds sends without one, for a minute") {
  Limiters limiters(1);
  const uint64_t start_ns = now_ns;
  const auto tries = [&](SliceLimiter& limiter) {
    // Another worker renews every lease without end.
    limiters.leases.ends_ns[0] = now_ns + 4 * kMs;
    const bool has_entered = limiter.enter();
    limiter.leave();
    now_ns += 20 * kMs;
    return has_entered;
  };
  while (!tries(limiters.all[0])) {
    if (!EXPECT(now_ns - start_ns < 5000 * kMs)) return;
  }
  EXPECT(now_ns - start_ns >= 4000 * kMs);
  const uint64_t gave_up_ns = now_ns;
  while (tries(limiters.all[0])) {
    if (!EXPECT(now_ns - gave_up_ns <= 60'000 * kMs)) return;
  }
  EXPECT(now_ns - gave_up_ns >= 59'000 * kMs);
}

TEST("a worker that had nothing to send in between has not waited for seconds") {
  Limiters limiters(1);
  for (int count = 0; count < 10; ++count) {
    limiters.leases.ends_ns[0] = now_ns + 4 * kMs;
    EXPECT(!limiters.all[0].enter());
    now_ns += 2000 * kMs;
  }
}
