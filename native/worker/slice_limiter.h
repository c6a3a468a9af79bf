// How many workers send a slice of a broadcast at the same time.
// Where workers outnumber cores, all of them in a slice at once make a run queue, and whoever has a
// client to answer waits at its end: with 56 workers and receivers on 2 cores 408 ms (p99), and
// 74 ms with at most 2 inside. Nobody waits for a place: it serves its clients and looks again.
//
// A place is lent for a time. Whoever is preempted inside a slice waits for its next turn behind
// all that have something else to do, and others need not wait with it: while a million clients
// were pinged, two places that were held for as long as that took let messages through at a tenth
// of the rate at which they came. Nor is there anything to give back for a worker that froze or
// died.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/bounds.h"
#include "ipc/segment.h"
#include "os/sys.h"

namespace megacomet {

class SliceLimiter {
 public:
  /// `clock` gives nanoseconds that never go back, the same for all workers.
  explicit SliceLimiter(uint64_t (*clock)() = sys::monotonic_ns) : clock_(clock) {}

  void attach(Segment* segment) { segment_ = segment; }

  /// Workers inside at most; 0 for no limit.
  void set_limit(uint32_t limit) {
    limit_ = std::min(limit, bounds::kSliceSlotsMax);
    const uint32_t round = segment_->slots() / std::max(1U, limit);
    lease_ns_ = std::clamp(round / 2, kLeaseSlicesMin, kLeaseSlicesMax) * bounds::kFanoutSliceNs;
    wait_max_s_ = std::clamp(kWaitSeconds * round, kWaitSeconds, kWaitSecondsMax);
  }

  /// Takes a place; false if all are taken.
  [[nodiscard]] bool enter() {
    if (limit_ == 0) return true;
    const uint64_t now_ns = clock_();
    for (uint32_t count = 0; count < limit_; ++count) {
      if (take(now_ns)) {
        wait_s_ = 0;
        return true;
      }
      place_ = (place_ + 1) % limit_;
    }
    wait_s_ = std::clamp(2 * wait_s_, kWaitSeconds, wait_max_s_);
    return false;
  }

  /// After a refusal: the time after which to look again. That of a slice, and twice as long each
  /// time, up to a round in which all have their turn: whoever looks takes from those that send.
  /// With 28 workers on 2 cores that all looked in each quarter of a round, a broadcast to 500,000
  /// took 4.3 s, and with this 3.6 s.
  [[nodiscard]] double wait_s() const { return wait_s_; }

  /// Gives the place back, unless it was lent to another meanwhile.
  void leave() {
    if (limit_ == 0) return;
    place().compare_exchange_strong(ends_ns_, 0, std::memory_order_relaxed);
  }

 private:
  /// Four slices at least: whoever runs is through long before, whatever a slice's last delivery
  /// costs.
  static constexpr uint32_t kLeaseSlicesMin = 4;
  /// Where many take turns, who was preempted comes back later, and with a short lease more are
  /// inside than there are places: with 28 workers on 2 cores and four slices new clients waited 25
  /// to 52 ms (p99), with seven or eight 10 to 12.
  static constexpr uint32_t kLeaseSlicesMax = 8;
  static constexpr double kWaitSeconds = 0.001;
  /// A round of 64 workers on 2 cores.
  static constexpr double kWaitSecondsMax = 0.032;

  std::atomic<uint64_t>& place() { return segment_->shared().slice_ends_ns[place_]; }

  bool take(uint64_t now_ns) {
    uint64_t seen = place().load(std::memory_order_relaxed);
    if (seen > now_ns) return false;
    ends_ns_ = now_ns + lease_ns_;
    return place().compare_exchange_strong(seen, ends_ns_, std::memory_order_relaxed);
  }

  uint64_t (*clock_)();
  Segment* segment_ = nullptr;
  uint32_t limit_ = 0;
  /// The one that it has, or looks at first; and the end of its lease.
  uint32_t place_ = 0;
  uint64_t ends_ns_ = 0;
  uint64_t lease_ns_ = kLeaseSlicesMin * bounds::kFanoutSliceNs;
  double wait_s_ = 0;
  double wait_max_s_ = kWaitSeconds;
};

}  // namespace megacomet
