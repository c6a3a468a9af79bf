// Tests of the delivery times of a dialer's latest messages.
#include "dialer/delivery_times.h"

#include "support/unit.h"

using namespace megacomet;

TEST("the deliveries of one message are counted, from the first to the last") {
  DeliveryTimes times;
  times.record(7, 1'000'000);
  times.record(8, 1'500'000);
  times.record(7, 3'000'000);
  if (!EXPECT_EQUAL(times.all().size(), 2U)) return;
  const Delivery& seven = times.all()[0];
  EXPECT_EQUAL(seven.count, 2U);
  EXPECT_EQUAL(seven.first_ns, 1'000'000U);
  EXPECT_EQUAL(seven.last_ns, 3'000'000U);
  EXPECT_EQUAL(seven.since_first.count(0), 1U);
  EXPECT_EQUAL(seven.since_first.count(Histogram::bucket_of(2000)), 1U);
  times.clear();
  EXPECT(times.all().empty());
  times.record(9, 1);
  EXPECT_EQUAL(times.all().size(), 1U);
}

TEST("a new message replaces the oldest one when the ring is full") {
  DeliveryTimes times;
  const uint64_t all = 10 * bounds::kDeliveryTimesMax + 3;
  for (uint64_t key = 0; key < all; ++key) {
    times.record(key, key);
    times.record(key, key + 1);
  }
  EXPECT_EQUAL(times.all().size(), bounds::kDeliveryTimesMax);
  uint64_t counted = 0;
  for (const Delivery& delivery : times.all()) {
    EXPECT(delivery.key >= all - bounds::kDeliveryTimesMax);
    counted += delivery.count;
  }
  EXPECT_EQUAL(counted, 2 * bounds::kDeliveryTimesMax);
}
