// Tests of how long a loop sleeps where workers outnumber cores.
#include "schedule/wakeup_coalescing.h"

#include <cmath>

#include "support/unit.h"

using namespace megacomet;

namespace {

constexpr uint64_t kMs = 1'000'000;

/// How many of `iterations`, `every_ns` apart, sleep.
int sleeps(WakeupCoalescing* coalescing, int iterations, uint64_t every_ns, double wanted_s) {
  int count = 0;
  uint64_t now_ns = 1000 * kMs;
  for (int iteration = 0; iteration < iterations; ++iteration, now_ns += every_ns) {
    const double seconds = coalescing->collect_s(now_ns);
    EXPECT(seconds == 0. || std::abs(seconds - wanted_s) < 1e-9);
    if (seconds > 0.) ++count;
  }
  return count;
}

}  // namespace

TEST("a worker with a core of its own never sleeps, however often its loop iterates") {
  WakeupCoalescing coalescing;
  EXPECT(sleeps(&coalescing, 1000, 1000, 0.) == 0);
  coalescing.set_oversubscribed(56, 0);
  EXPECT(sleeps(&coalescing, 1000, 1000, 0.) == 0);
}

TEST("a worker that shares its core sleeps only while its loop iterates often") {
  WakeupCoalescing coalescing;
  coalescing.set_oversubscribed(3, 2);
  EXPECT(sleeps(&coalescing, 1000, 25 * kMs, 0.0006) == 0);
  EXPECT(sleeps(&coalescing, 1000, kMs, 0.0006) > 900);
}

TEST("a sleep is as long as a round of the workers on a core, and 10 ms at most") {
  WakeupCoalescing coalescing;
  coalescing.set_oversubscribed(20, 2);
  EXPECT(sleeps(&coalescing, 100, 1000, 0.004) > 90);
  coalescing.set_oversubscribed(500, 2);
  EXPECT(sleeps(&coalescing, 100, 1000, 0.010) > 90);
}
