// When a dialer starts its connects: evenly, and independent of the answers.
#pragma once

#include <cstdint>

namespace megacomet {

/// Start N is due N / rate after the first. A start that was late does not move the later ones, so
/// that latencies from the due time include the wait for a slow server.
class DialSchedule {
 public:
  /// Thousandths of a start per second; 0 means that each is due at once.
  void set_rate(uint32_t rate_milli) { rate_milli_ = rate_milli; }

  /// When the next start is due. The first call sets the time of the first start.
  [[nodiscard]] uint64_t due_ns(uint64_t now_ns) {
    if (rate_milli_ == 0) return now_ns;
    if (began_ns_ == 0) began_ns_ = now_ns;
    // The whole seconds apart, because the product of all would exceed 64 bits.
    const uint64_t milli = started_ * 1000;
    const uint64_t rest = milli % rate_milli_;
    return began_ns_ + milli / rate_milli_ * kNsPerSecond + rest * kNsPerSecond / rate_milli_;
  }

  /// The start that was due is done.
  void advance() { ++started_; }

  /// Milliseconds until a start, rounded up.
  [[nodiscard]] static uint32_t wait_ms(uint64_t due_ns, uint64_t now_ns) {
    return static_cast<uint32_t>((due_ns - now_ns) / kNsPerMs) + 1;
  }

 private:
  static constexpr uint64_t kNsPerMs = 1'000'000;
  static constexpr uint64_t kNsPerSecond = 1'000'000'000;

  uint32_t rate_milli_ = 0;
  uint64_t began_ns_ = 0;
  uint64_t started_ = 0;
};

}  // namespace megacomet
