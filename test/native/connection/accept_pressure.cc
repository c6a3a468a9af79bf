// Tests of what a broadcast leaves to those who come.
#include "connection/accept_pressure.h"

#include <cmath>

#include "support/unit.h"

using namespace megacomet;

namespace {

constexpr uint64_t kMs = 1'000'000;

bool is_near(double seconds, double wanted_s) {
  return std::abs(seconds - wanted_s) < 1e-9;
}

}  // namespace

TEST("slices follow each other where nobody waits long") {
  AcceptPressure newcomers;
  newcomers.set_crowd(56, 2);
  newcomers.sliced(1000 * kMs);
  EXPECT(newcomers.rest_s(1000 * kMs) == 0.);
  newcomers.waited(99, 1000 * kMs);
  newcomers.sliced(1001 * kMs);
  EXPECT(newcomers.rest_s(1001 * kMs) == 0.);
}

TEST("a slice rests while newcomers wait, so that it has a sixteenth of its worker's share") {
  AcceptPressure newcomers;
  newcomers.waited(100, 1000 * kMs);
  newcomers.sliced(1000 * kMs);
  EXPECT(is_near(newcomers.rest_s(1000 * kMs), 0.015));
  EXPECT(is_near(newcomers.rest_s(1014 * kMs), 0.001));
  EXPECT(newcomers.rest_s(1015 * kMs) == 0.);
  newcomers.set_crowd(2, 2);
  newcomers.sliced(1015 * kMs);
  EXPECT(is_near(newcomers.rest_s(1015 * kMs), 0.015));
  newcomers.set_crowd(57, 2);
  newcomers.sliced(1030 * kMs);
  EXPECT(is_near(newcomers.rest_s(1030 * kMs), 29 * 0.015));
}

TEST("a second after the last one that had to wait, slices rest no more") {
  AcceptPressure newcomers;
  newcomers.waited(500, 1000 * kMs);
  newcomers.waited(0, 1500 * kMs);
  newcomers.sliced(1999 * kMs);
  EXPECT(newcomers.rest_s(1999 * kMs) > 0.);
  newcomers.sliced(2000 * kMs);
  EXPECT(newcomers.rest_s(2000 * kMs) == 0.);
}
