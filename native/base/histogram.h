// A log-linear histogram of microseconds: fixed memory, at most 6 % error.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace megacomet {

/// Sixteen buckets to each power of two, exact below 16 µs.
class Histogram {
 public:
  static constexpr uint32_t kSteps = 16;
  static constexpr uint32_t kStepBits = 4;
  /// Up to 2^36 µs, 19 hours. Longer times go into the last bucket.
  static constexpr uint32_t kOctaves = 32;
  static constexpr size_t kBuckets = size_t{kSteps} * (kOctaves + 1);

  static size_t bucket_of(uint64_t us) {
    if (us < kSteps) return static_cast<size_t>(us);
    const auto octave = static_cast<uint32_t>(63 - __builtin_clzll(us)) - kStepBits;
    const size_t bucket = size_t{kSteps} * (octave + 1) + ((us >> octave) - kSteps);
    return bucket < kBuckets ? bucket : kBuckets - 1;
  }

  void record(uint64_t us) {
    ++counts_[bucket_of(us)];
    if (us < min_us_) min_us_ = us;
    if (us > max_us_) max_us_ = us;
  }

  void clear() { *this = Histogram{}; }

  [[nodiscard]] uint64_t count(size_t bucket) const { return counts_[bucket]; }
  /// UINT64_MAX before the first record().
  [[nodiscard]] uint64_t min_us() const { return min_us_; }
  [[nodiscard]] uint64_t max_us() const { return max_us_; }

 private:
  std::array<uint64_t, kBuckets> counts_{};
  uint64_t min_us_ = UINT64_MAX;
  uint64_t max_us_ = 0;
};

}  // namespace megacomet
