// Tests of how long fan-out slices yield to new connections.
#include "schedule/accept_pressure.h"

#include <cmath>

#include "support/unit.h"

using namespace megacomet;

namespace {

constexpr uint64_t kMs = 1'000'000;

bool is_near(double seconds, double wanted_s) {
  return std::abs(seconds - wanted_s) < 1e-9;
}

}  // namespace

TEST("slices follow each other while no connection waits 100 ms") {
  AcceptPressure pressure;
  pressure.set_oversubscribed(56, 2);
  pressure.end_slice(1000 * kMs);
  EXPECT(pressure.yield_s(1000 * kMs) == 0.);
  pressure.note_wait(99, 1000 * kMs);
  pressure.end_slice(1001 * kMs);
  EXPECT(pressure.yield_s(1001 * kMs) == 0.);
}

TEST("under pressure a broadcast keeps a sixteenth of its worker's share of a core") {
  AcceptPressure pressure;
  pressure.note_wait(100, 1000 * kMs);
  pressure.end_slice(1000 * kMs);
  EXPECT(is_near(pressure.yield_s(1000 * kMs), 0.015));
  EXPECT(is_near(pressure.yield_s(1014 * kMs), 0.001));
  EXPECT(pressure.yield_s(1015 * kMs) == 0.);
  pressure.set_oversubscribed(2, 2);
  pressure.end_slice(1015 * kMs);
  EXPECT(is_near(pressure.yield_s(1015 * kMs), 0.015));
  pressure.set_oversubscribed(57, 2);
  pressure.end_slice(1030 * kMs);
  EXPECT(is_near(pressure.yield_s(1030 * kMs), 29 * 0.015));
}

TEST("slices stop yielding one second after the last long wait") {
  AcceptPressure pressure;
  pressure.note_wait(500, 1000 * kMs);
  pressure.note_wait(0, 1500 * kMs);
  pressure.end_slice(1999 * kMs);
  EXPECT(pressure.yield_s(1999 * kMs) > 0.);
  pressure.end_slice(2000 * kMs);
  EXPECT(pressure.yield_s(2000 * kMs) == 0.);
}
