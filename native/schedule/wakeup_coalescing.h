// How long a worker's loop sleeps between iterations where workers outnumber cores.
// A process that wakes for each event makes the machine switch between processes instead of
// working. With 56 workers and 8 clients on 2 cores a handshake cost 32 µs of the workers' CPU, and
// 15 µs where each loop slept 10 ms before it polled for events. With 8 workers it cost 13 µs.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/token_bucket.h"

namespace megacomet {

class WakeupCoalescing {
 public:
  /// `workers` share `cores`; 0 cores where each worker has its own, and never sleeps.
  void set_oversubscribed(uint32_t workers, uint32_t cores) {
    const double ratio = cores == 0 ? 0. : static_cast<double>(workers) / cores;
    collect_s_ = std::min(ratio * kIterationSeconds, kCollectSecondsMax);
    rare_iterations_.set_rate(kRarePerSecond * 1000);
  }

  /// Seconds to sleep before the next poll for events. 0 while iterations are rare: then sleeping
  /// saves nothing and delays an answer.
  [[nodiscard]] double collect_s(uint64_t now_ns) {
    if (collect_s_ == 0. || rare_iterations_.take(now_ns)) return 0.;
    return collect_s_;
  }

 private:
  /// CPU time of one iteration: the sleep is one round of all workers that share a core.
  static constexpr double kIterationSeconds = 0.0004;
  static constexpr double kCollectSecondsMax = 0.010;
  static constexpr uint32_t kRarePerSecond = 50;

  TokenBucket rare_iterations_;
  double collect_s_ = 0.;
};

}  // namespace megacomet
