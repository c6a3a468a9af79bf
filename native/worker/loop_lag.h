// How long the iterations of a worker's loop take, and the heartbeat that each one writes.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ipc/segment.h"

namespace megacomet {

/// An iteration is the time between two waits for events. While it lasts, every other peer waits.
class LoopLag {
 public:
  void attach(Block* block) {
    block_ = block;
    counters_.attach(block);
  }

  void begin_iteration(uint64_t now_ns) { began_ns_ = now_ns; }

  /// Counts the iteration that ends now and writes the heartbeat.
  void end_iteration(uint64_t now_ns) {
    block_->heartbeat_ns.store(now_ns, std::memory_order_release);
    const uint64_t us = (now_ns - began_ns_) / 1000;
    const size_t bucket =
        us == 0 ? 0
                : std::min<size_t>(kLagBuckets - 1, 64 - static_cast<size_t>(__builtin_clzll(us)));
    std::atomic<uint64_t>& count = block_->lag[bucket];
    count.store(count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    std::atomic<uint64_t>& sum = block_->lag[kLagBuckets];
    sum.store(sum.load(std::memory_order_relaxed) + us, std::memory_order_relaxed);
    if (us <= max_us_) return;
    max_us_ = us;
    publish();
  }

  /// Called once a second. The maximum covers the last 10 to 20 seconds, so one long iteration is
  /// not shown forever.
  void tick() {
    if (++seconds_ < kWindowSeconds) return;
    seconds_ = 0;
    previous_max_us_ = max_us_;
    max_us_ = 0;
    publish();
  }

 private:
  static constexpr uint32_t kWindowSeconds = 10;

  void publish() { counters_.set(Counter::kLoopLagMaxUs, std::max(max_us_, previous_max_us_)); }

  Block* block_ = nullptr;
  Counters counters_;
  uint64_t began_ns_ = 0;
  uint64_t max_us_ = 0;
  uint64_t previous_max_us_ = 0;
  uint32_t seconds_ = 0;
};

}  // namespace megacomet
