// Tests of the places for a slice of a broadcast.
#include "worker/slice_limiter.h"

#include "support/unit.h"

using namespace megacomet;

namespace {

constexpr uint64_t kMs = 1'000'000;
uint64_t now_ns = 0;

uint64_t clock_ns() {
  return now_ns;
}

/// Workers of one server.
struct Gates {
  explicit Gates(uint32_t limit, uint32_t workers = 4) {
    now_ns = 1000 * kMs;
    EXPECT(segment.create(workers));
    for (SliceLimiter& gate : all) {
      gate.attach(&segment);
      gate.set_limit(limit);
    }
  }
  Segment segment;
  SliceLimiter all[4]{SliceLimiter(clock_ns),
                      SliceLimiter(clock_ns),
                      SliceLimiter(clock_ns),
                      SliceLimiter(clock_ns)};
};

}  // namespace

TEST("as many are in a slice as there are places, and one that leaves makes room") {
  Gates gates(2);
  EXPECT(gates.all[0].enter() && gates.all[1].enter());
  EXPECT(!gates.all[2].enter() && !gates.all[3].enter());
  gates.all[0].leave();
  EXPECT(gates.all[2].enter() && !gates.all[3].enter());
  gates.all[1].leave();
  gates.all[2].leave();
  EXPECT(gates.all[3].enter() && gates.all[0].enter() && !gates.all[1].enter());
}

TEST("who does not come to its end, whether preempted, frozen or dead, keeps nobody waiting") {
  Gates gates(1);
  EXPECT(gates.all[0].enter());
  now_ns += 3 * kMs;
  EXPECT(!gates.all[1].enter());
  now_ns += kMs;
  EXPECT(gates.all[1].enter());
  // It comes back, and does not give away what is another's by now.
  gates.all[0].leave();
  EXPECT(!gates.all[2].enter());
  gates.all[1].leave();
  EXPECT(gates.all[2].enter());
}

TEST("a place is lent for longer where more take turns, and not for longer than for a time") {
  struct Crowd {
    uint32_t workers;
    uint64_t lease_ms;
  };
  for (const Crowd& crowd : {Crowd{4, 4}, Crowd{12, 6}, Crowd{64, 8}}) {
    Gates gates(1, crowd.workers);
    EXPECT(gates.all[0].enter());
    now_ns += crowd.lease_ms * kMs - 1;
    EXPECT(!gates.all[1].enter());
    now_ns += 1;
    EXPECT(gates.all[1].enter());
  }
}

TEST("without a limit everybody may enter") {
  Gates gates(0);
  for (SliceLimiter& gate : gates.all) EXPECT(gate.enter());
  for (SliceLimiter& gate : gates.all) gate.leave();
}

TEST("who is refused looks again after a slice, then less often, and is not put off for ever") {
  Gates gates(1);
  EXPECT(gates.all[0].enter());
  double last_s = 0;
  for (int count = 0; count < 10; ++count) {
    EXPECT(!gates.all[1].enter());
    EXPECT(gates.all[1].wait_s() >= last_s && gates.all[1].wait_s() <= 0.004);
    last_s = gates.all[1].wait_s();
  }
  // A round: four slices of a millisecond.
  EXPECT(last_s == 0.004);
  gates.all[0].leave();
  EXPECT(gates.all[1].enter() && gates.all[1].wait_s() == 0);
}
