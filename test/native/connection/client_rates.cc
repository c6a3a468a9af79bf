// Tests of the rates of one client.
#include "connection/client_rates.h"

#include "support/unit.h"

using namespace megacomet;

namespace {

constexpr uint64_t kSecond = 1'000'000'000;

/// Events of one kind in a row.
uint32_t count_of(ClientRates* rates, Pace wanted, uint64_t now_ns) {
  uint32_t count = 0;
  while (count < 1000 && rates->pace({5, 1}, now_ns) == wanted) ++count;
  return count;
}

}  // namespace

TEST("a client that goes on after its burst is a flood") {
  ClientRates rates;
  rates.set_rate(10);
  EXPECT_EQUAL(count_of(&rates, Pace::kAllowed, kSecond), 10U);
  // The first one that was too fast ended the count above.
  EXPECT_EQUAL(count_of(&rates, Pace::kTooFast, kSecond), 9U);
  EXPECT(rates.pace({5, 1}, kSecond) == Pace::kFlood);
  EXPECT(rates.pace({6, 1}, kSecond) == Pace::kAllowed);
  EXPECT_EQUAL(count_of(&rates, Pace::kAllowed, 10 * kSecond), 10U);
}

TEST("a client that slows down does not flood, however often it was too fast") {
  ClientRates rates;
  rates.set_rate(10);
  for (uint64_t second = 1; second < 20; ++second) {
    for (int count = 0; count < 15; ++count) {
      EXPECT(rates.pace({5, 1}, second * 2 * kSecond) != Pace::kFlood);
    }
  }
}

TEST("without a rate everything is allowed") {
  ClientRates rates;
  EXPECT_EQUAL(count_of(&rates, Pace::kAllowed, kSecond), 1000U);
  EXPECT(rates.allow({5, 1}, kSecond));
}
