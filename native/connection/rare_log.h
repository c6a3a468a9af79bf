// A log line about events that may be many: at most one in an interval, with the number of events
// that had none.
#pragma once

#include <cstdint>

#include "ipc/control.h"
#include "ipc/segment.h"
#include "os/sys.h"

namespace megacomet {

class RareLog {
 public:
  RareLog(Control* control, Counters* counters, uint32_t interval_ms)
      : control_(control), counters_(counters), interval_ms_(interval_ms) {}

  /// Counts an event. Whether it is the one that the line of this interval is about: that with the
  /// number `events_min`. write() follows then.
  [[nodiscard]] bool is_due(uint32_t events_min = 1) {
    const uint64_t now_ns = sys::monotonic_ns();
    if (now_ns >= ends_ns_) {
      ends_ns_ = now_ns + uint64_t{interval_ms_} * 1'000'000;
      events_ = 0;
      has_line_ = false;
    }
    ++events_;
    if (!has_line_ && events_ >= events_min) return true;
    ++suppressed_;
    return false;
  }

  /// Writes the line of this interval.
  void write(LogLevel level, const char* message, int error = 0) {
    has_line_ = true;
    if (!control_->log(level, message, error, suppressed_)) {
      counters_->add(Counter::kLogDroppedTotal);
    }
    suppressed_ = 0;
  }

 private:
  Control* control_;
  Counters* counters_;
  uint32_t interval_ms_;
  /// Of the interval that began with the first event after the last one.
  uint64_t ends_ns_ = 0;
  uint32_t events_ = 0;
  bool has_line_ = false;
  /// Events without a line since the last line.
  uint32_t suppressed_ = 0;
};

}  // namespace megacomet
