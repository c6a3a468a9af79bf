// How many workers send a slice of a broadcast at the same time. Level 3.
// Where workers outnumber cores, all of them in a slice at once make a run queue, and whoever has a
// client to answer waits at its end: with 56 workers and receivers on 2 cores 408 ms (p99), and
// 74 ms with at most 2 inside. Nobody waits for a place: it serves its clients and looks again.
#pragma once

#include <algorithm>
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
  void set_limit(uint32_t limit) {
    limit_ = limit;
    const double round_s = kWaitSeconds * segment_->slots() / std::max(1U, limit);
    wait_max_s_ = std::clamp(round_s / 4, kWaitSeconds, kWaitSecondsMax);
  }

  /// Takes a place; false if all are taken.
  [[nodiscard]] bool enter() {
    if (limit_ == 0) return true;
    // Noted before it is taken: a worker that dies between leaves a place too many, and not one
    // that is lost for ever.
    counters_->set(Counter::kInSlice, 1);
    const int64_t inside = segment_->shared().slices.fetch_add(1, std::memory_order_relaxed);
    const bool has_place = inside < static_cast<int64_t>(limit_);
    wait_s_ = has_place ? 0 : std::clamp(2 * wait_s_, kWaitSeconds, wait_max_s_);
    if (!has_place) leave();
    return has_place;
  }

  /// After a refusal: the time after which to look again. That of a slice, and twice as long each
  /// time, up to a quarter of a round in which all have their turn: workers that all look every
  /// millisecond take from those that send.
  [[nodiscard]] double wait_s() const { return wait_s_; }

  void leave() {
    if (limit_ == 0) return;
    segment_->shared().slices.fetch_sub(1, std::memory_order_relaxed);
    counters_->set(Counter::kInSlice, 0);
  }

 private:
  static constexpr double kWaitSeconds = 0.001;
  static constexpr double kWaitSecondsMax = 0.008;

  Segment* segment_ = nullptr;
  Counters* counters_ = nullptr;
  uint32_t limit_ = 0;
  double wait_s_ = 0;
  double wait_max_s_ = kWaitSeconds;
};

}  // namespace megacomet
