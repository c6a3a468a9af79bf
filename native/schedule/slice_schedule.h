// When a worker sends the slices of its broadcasts, and how long a slice takes.
// One slice per loop iteration at most, so accepted clients are served between two slices.
#pragma once

#include <cstdint>

#include "base/bounds.h"
#include "ipc/segment.h"
#include "os/sys.h"
#include "schedule/accept_pressure.h"
#include "schedule/slice_limiter.h"

namespace megacomet {

/// Broadcasts that are sent in slices.
class SliceSource {
 public:
  /// Whether a message is pending for any subscriber, now or later.
  [[nodiscard]] virtual bool has_slices() const = 0;
  /// Sends until `end_ns` of the schedule's clock. True if more is due at once.
  [[nodiscard]] virtual bool send_slice(uint64_t end_ns) = 0;

 protected:
  ~SliceSource() = default;
};

class SliceSchedule {
 public:
  /// Result of run(): no slice is pending.
  static constexpr double kNever = -1.;
  /// Seconds between two slices of a message that is spread over a time.
  static constexpr double kSpreadSeconds = 0.01;

  /// `clock` gives nanoseconds that never decrease, the same for all workers.
  SliceSchedule(SliceSource* source, Counters* counters, uint64_t (*clock)() = sys::monotonic_ns)
      : source_(source), counters_(counters), clock_(clock), limiter_(clock) {}
  SliceSchedule(const SliceSchedule&) = delete;
  SliceSchedule& operator=(const SliceSchedule&) = delete;

  /// `workers` that share `leases` share `cores`; 0 cores where each worker has its own.
  void set_oversubscribed(SliceLeases* leases, uint32_t workers, uint32_t cores) {
    limiter_.attach(leases);
    limiter_.set_oversubscribed(workers, cores);
    accept_pressure_.set_oversubscribed(workers, cores);
  }

  [[nodiscard]] AcceptPressure& accept_pressure() { return accept_pressure_; }

  /// Sends a slice if one may begin now. Returns the seconds after which to call again at the
  /// latest: 0 for the next iteration without a sleep, or kNever.
  [[nodiscard]] double run() {
    if (!source_->has_slices()) return kNever;
    const uint64_t now_ns = clock_();
    const double yield_s = accept_pressure_.yield_s(now_ns);
    if (yield_s > 0.) return yield_s;
    if (!limiter_.enter()) return limiter_.wait_s();
    return send_slice(now_ns + bounds::kFanoutSliceNs);
  }

 private:
  double send_slice(uint64_t end_ns) {
    const bool is_due = source_->send_slice(end_ns);
    limiter_.leave();
    const uint64_t now_ns = clock_();
    accept_pressure_.end_slice(now_ns);
    if (!is_due) return source_->has_slices() ? kSpreadSeconds : kNever;
    const double yield_s = accept_pressure_.yield_s(now_ns);
    if (yield_s > 0.) counters_->add(Counter::kFanoutSlicesDelayedTotal);
    return yield_s;
  }

  SliceSource* source_;
  Counters* counters_;
  uint64_t (*clock_)();
  SliceLimiter limiter_;
  AcceptPressure accept_pressure_;
};

}  // namespace megacomet
