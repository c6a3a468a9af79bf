// Tests of the times at which the subscribers of a dialer got its latest messages.
#include "dialer/delivery_times.h"

#include "support/unit.h"

using namespace megacomet;

TEST("arrivals of one message are counted, from the first to the last") {
  DeliveryTimes arrivals;
  arrivals.record(7, 1'000'000);
  arrivals.record(8, 1'500'000);
  arrivals.record(7, 3'000'000);
  if (!EXPECT_EQUAL(arrivals.all().size(), 2U)) return;
  const Arrival& seven = arrivals.all()[0];
  EXPECT_EQUAL(seven.count, 2U);
  EXPECT_EQUAL(seven.first_ns, 1'000'000U);
  EXPECT_EQUAL(seven.last_ns, 3'000'000U);
  EXPECT_EQUAL(seven.since_first.count(0), 1U);
  EXPECT_EQUAL(seven.since_first.count(Histogram::bucket_of(2000)), 1U);
  arrivals.clear();
  EXPECT(arrivals.all().empty());
  arrivals.record(9, 1);
  EXPECT_EQUAL(arrivals.all().size(), 1U);
}

TEST("of more messages than there is room for, the oldest are forgotten") {
  DeliveryTimes arrivals;
  const uint64_t all = 10 * bounds::kDeliveryTimesMax + 3;
  for (uint64_t key = 0; key < all; ++key) {
    arrivals.record(key, key);
    arrivals.record(key, key + 1);
  }
  EXPECT_EQUAL(arrivals.all().size(), bounds::kDeliveryTimesMax);
  uint64_t counted = 0;
  for (const Arrival& arrival : arrivals.all()) {
    EXPECT(arrival.key >= all - bounds::kDeliveryTimesMax);
    counted += arrival.count;
  }
  EXPECT_EQUAL(counted, 2 * bounds::kDeliveryTimesMax);
}
