// How many workers send a slice of a broadcast at the same time. Level 3.
// Where workers outnumber cores, all of them in a slice at once make a run queue, and whoever has a
// client to answer waits at its end: with 56 workers and receivers on 2 cores 408 ms (p99), and
// 74 ms with at most 2 inside. Nobody waits for a place: it serves its clients and looks again.
#pragma once

#include <cstdint>

#include "segment.h"

namespace megacomet {

class SliceGate {
 public:
  void attach(Segment* segment, Counters* counters) {
    segment_ = segment;
    counters_ = counters;
  }

  /// Workers inside at most; 0 for no limit.
  void set_limit(uint32_t limit) { limit_ = limit; }

  /// Takes a place; false if all are taken.
  [[nodiscard]] bool enter() {
    if (limit_ == 0) return true;
    // Noted before it is taken: a worker that dies between leaves a place too many, and not one
    // that is lost for ever.
    counters_->set(Counter::kInSlice, 1);
    const int64_t inside = segment_->shared().slices.fetch_add(1, std::memory_order_relaxed);
    if (inside < static_cast<int64_t>(limit_)) return true;
    leave();
    return false;
  }

  void leave() {
    if (limit_ == 0) return;
    segment_->shared().slices.fetch_sub(1, std::memory_order_relaxed);
    counters_->set(Counter::kInSlice, 0);
  }

 private:
  Segment* segment_ = nullptr;
  Counters* counters_ = nullptr;
  uint32_t limit_ = 0;
};

}  // namespace megacomet
