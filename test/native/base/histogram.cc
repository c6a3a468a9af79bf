// Tests of the latency histogram: its buckets, their error, and its range.
#include "base/histogram.h"

#include "support/unit.h"

using namespace megacomet;

namespace {

/// The smallest time of a bucket, by another formula than the histogram uses.
uint64_t floor_of(size_t bucket) {
  if (bucket < Histogram::kSteps) return bucket;
  const size_t octave = bucket / Histogram::kSteps - 1;
  return (Histogram::kSteps + bucket % Histogram::kSteps) << octave;
}

}  // namespace

TEST("the buckets of a histogram have no gap between them") {
  for (size_t bucket = 1; bucket < Histogram::kBuckets; ++bucket) {
    EXPECT_EQUAL(Histogram::bucket_of(floor_of(bucket)), bucket);
    EXPECT_EQUAL(Histogram::bucket_of(floor_of(bucket) - 1), bucket - 1);
  }
}

TEST("a longer time has the same or a higher bucket, whose width is at most 6.25 % of it") {
  for (int count = 0; count < 500'000; ++count) {
    const uint64_t us = unit::random()() >> (28 + unit::upto(35));
    const size_t bucket = Histogram::bucket_of(us);
    if (!EXPECT(bucket < Histogram::kBuckets)) return;
    if (!EXPECT(bucket <= Histogram::bucket_of(us + 1))) return;
    if (!EXPECT(floor_of(bucket) <= us)) return;
    const uint64_t width = floor_of(bucket + 1) - floor_of(bucket);
    if (!EXPECT(us < floor_of(bucket) + width)) return;
    if (!EXPECT(width == 1 || width * 16 <= us)) return;
  }
}

TEST("times above the range of a histogram go into the last bucket") {
  for (const uint64_t us : {uint64_t{1} << 36U, uint64_t{1} << 50U, UINT64_MAX}) {
    EXPECT_EQUAL(Histogram::bucket_of(us), Histogram::kBuckets - 1);
  }
}

TEST("a histogram counts and keeps the extremes, until it is cleared") {
  Histogram histogram;
  EXPECT_EQUAL(histogram.min_us(), UINT64_MAX);
  for (const uint64_t us : {30U, 20U, 31U, 20U}) histogram.record(us);
  EXPECT_EQUAL(histogram.count(Histogram::bucket_of(20)), 2U);
  EXPECT_EQUAL(histogram.min_us(), 20U);
  EXPECT_EQUAL(histogram.max_us(), 31U);
  histogram.clear();
  EXPECT_EQUAL(histogram.count(Histogram::bucket_of(20)), 0U);
  EXPECT_EQUAL(histogram.min_us(), UINT64_MAX);
  EXPECT_EQUAL(histogram.max_us(), 0U);
}
