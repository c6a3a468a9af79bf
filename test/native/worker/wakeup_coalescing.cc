// Tests of the pace of a loop where workers outnumber cores.
#include "worker/wakeup_coalescing.h"

#include <cmath>

#include "support/unit.h"

using namespace megacomet;

namespace {

constexpr uint64_t kMs = 1'000'000;

/// Turns that sleep, of so many that are `every_ns` apart.
int sleeps(WakeupCoalescing* pace, int turns, uint64_t every_ns, double wanted_s) {
  int count = 0;
  uint64_t now_ns = 1000 * kMs;
  for (int turn = 0; turn < turns; ++turn, now_ns += every_ns) {
    const double seconds = pace->collect_s(now_ns);
    EXPECT(seconds == 0. || std::abs(seconds - wanted_s) < 1e-9);
    if (seconds > 0.) ++count;
  }
  return count;
}

}  // namespace

TEST("a loop that has a core never sleeps, however often it turns") {
  WakeupCoalescing pace;
  EXPECT(sleeps(&pace, 1000, 1000, 0.) == 0);
  pace.set_crowd(56, 0);
  EXPECT(sleeps(&pace, 1000, 1000, 0.) == 0);
}

TEST("a crowded loop that turns seldom never sleeps, and one that turns often does") {
  WakeupCoalescing pace;
  pace.set_crowd(3, 2);
  EXPECT(sleeps(&pace, 1000, 25 * kMs, 0.0006) == 0);
  EXPECT(sleeps(&pace, 1000, kMs, 0.0006) > 900);
}

TEST("a crowded loop sleeps as long as a round takes, and 10 ms at most") {
  WakeupCoalescing pace;
  pace.set_crowd(20, 2);
  EXPECT(sleeps(&pace, 100, 1000, 0.004) > 90);
  pace.set_crowd(500, 2);
  EXPECT(sleeps(&pace, 100, 1000, 0.010) > 90);
}
