// Whether new connections wait too long in the queue, and how long a broadcast yields to them.
// A client that is not accepted yet receives nothing. A subscriber that is visited late receives
// all its pending messages in one write. So where accepting and broadcasting together need more
// than the CPU has, accepting goes first, and a broadcast keeps a sixteenth of the worker's time. A
// million clients reconnected in 79 s under 100,000 messages a second when slices did not yield:
// most early packets carried one message each to subscribers that could have waited.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/bounds.h"

namespace megacomet {

class AcceptPressure {
 public:
  /// `workers` share `cores`; 0 cores where each worker has its own.
  void set_oversubscribed(uint32_t workers, uint32_t cores) {
    const uint64_t round = cores == 0 ? 1 : std::max(1U, (workers + cores - 1) / cores);
    yield_ns_ = round * kYieldSlices * bounds::kFanoutSliceNs;
  }

  /// The oldest connection of a full batch waited in the listener's queue for `ms`.
  void note_wait(uint32_t ms, uint64_t now_ns) {
    if (ms >= kLateMs) late_until_ns_ = now_ns + kLateNs;
  }

  /// A fan-out slice has ended.
  void end_slice(uint64_t now_ns) {
    yields_until_ns_ = now_ns < late_until_ns_ ? now_ns + yield_ns_ : 0;
  }

  /// Seconds until the next slice may begin; 0 for now.
  [[nodiscard]] double yield_s(uint64_t now_ns) const {
    return now_ns < yields_until_ns_ ? static_cast<double>(yields_until_ns_ - now_ns) / 1e9 : 0.;
  }

 private:
  /// Far above the wait that a busy loop causes (10 to 50 ms), and below a delay that people
  /// notice.
  static constexpr uint32_t kLateMs = 100;
  /// A measured wait counts for one second: the next full batch may arrive in a later iteration, or
  /// at another worker.
  static constexpr uint64_t kLateNs = 1'000'000'000;
  /// Fifteen slices of accepting after each slice of broadcasting.
  static constexpr uint64_t kYieldSlices = 15;

  uint64_t yield_ns_ = kYieldSlices * bounds::kFanoutSliceNs;
  uint64_t late_until_ns_ = 0;
  uint64_t yields_until_ns_ = 0;
};

}  // namespace megacomet
