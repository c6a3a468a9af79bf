// Pseudo-random numbers for retry jitter (xorshift64*: Marsaglia 2003, Vigna 2016). Not for
// secrets: a few outputs reveal the next ones.
#pragma once

#include <cstdint>

namespace megacomet {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed == 0 ? 1 : seed) {}

  /// From 0 to `bound` - 1, evenly distributed; 0 if `bound` is 0.
  uint32_t below(uint32_t bound) {
    state_ ^= state_ >> 12U;
    state_ ^= state_ << 25U;
    state_ ^= state_ >> 27U;
    const uint64_t high = (state_ * 0x2545'f491'4f6c'dd1dU) >> 32U;
    return static_cast<uint32_t>((high * bound) >> 32U);
  }

 private:
  uint64_t state_;
};

}  // namespace megacomet
