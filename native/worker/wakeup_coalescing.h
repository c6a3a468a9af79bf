// How often a worker's loop turns where workers outnumber cores.
// A process that wakes for each event makes the machine switch between processes instead of
// working: with 56 workers and 8 clients on 2 cores a handshake cost 32 µs of the workers' CPU, and
// 15 where each loop slept 10 ms before it looked for events; with 8 workers 13.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/token_bucket.h"

namespace megacomet {

class WakeupCoalescing {
 public:
  /// So many workers take turns on so many cores; 0 cores for a core each, and no pace.
  void set_crowd(uint32_t workers, uint32_t cores) {
    const double ratio = cores == 0 ? 0. : static_cast<double>(workers) / cores;
    collect_s_ = std::min(ratio * kTurnSeconds, kCollectSecondsMax);
    turns_.set_rate(kSeldomPerSecond * 1000);
  }

  /// How long the loop sleeps before it looks for events again: not at all while it turns seldom,
  /// since then there is nothing to gain and an answer to be given.
  [[nodiscard]] double collect_s(uint64_t now_ns) {
    if (collect_s_ == 0. || turns_.take(now_ns)) return 0.;
    return collect_s_;
  }

 private:
  /// Of a core, for each worker in a round.
  static constexpr double kTurnSeconds = 0.0004;
  static constexpr double kCollectSecondsMax = 0.010;
  static constexpr uint32_t kSeldomPerSecond = 50;

  TokenBucket turns_;
  double collect_s_ = 0.;
};

}  // namespace megacomet
