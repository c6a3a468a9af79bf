// A token bucket, for the accept rate. The caller passes the time of the monotonic clock.
#pragma once

#include <algorithm>
#include <cstdint>

namespace megacomet {

/// Admits `rate_milli` / 1000 events a second, and a burst of a tenth of a second's events.
class TokenBucket {
 public:
  /// Thousandths of an event per second; 0 admits everything. A changed rate adds no tokens,
  /// because each start or end of a worker changes the rates of all workers.
  void set_rate(uint32_t rate_milli) {
    const bool is_first = rate_milli_ == 0;
    rate_milli_ = rate_milli;
    level_ = is_first ? burst() : std::min(level_, burst());
  }

  /// Whether there is a rate. Without one the caller does not need to read a clock.
  [[nodiscard]] bool is_limited() const { return rate_milli_ != 0; }

  /// Takes one token; false when none is left.
  bool take(uint64_t now_ns) {
    if (rate_milli_ == 0) return true;
    refill(now_ns);
    if (level_ < kToken) return false;
    level_ -= kToken;
    return true;
  }

  /// Returns a token that was not used.
  void give_back() {
    if (rate_milli_ != 0) level_ = std::min(level_ + kToken, burst());
  }

  /// Milliseconds until the next token.
  [[nodiscard]] uint32_t wait_ms() const {
    if (rate_milli_ == 0 || level_ >= kToken) return 0;
    return static_cast<uint32_t>((kToken - level_) / rate_milli_ / 1000) + 1;
  }

 private:
  // The unit is 10^-9 token, so that nanoseconds times events per second need no rounding.
  static constexpr uint64_t kToken = 1'000'000'000;

  [[nodiscard]] uint64_t burst() const {
    return std::max(kToken, static_cast<uint64_t>(rate_milli_) * (kToken / 1000) / 10);
  }

  void refill(uint64_t now_ns) {
    const uint64_t elapsed_ns = now_ns - last_ns_;
    last_ns_ = now_ns;
    // Checked before the product, which would exceed 64 bits after a long pause.
    if (elapsed_ns / 1000 >= burst() / rate_milli_) {
      level_ = burst();
    } else {
      level_ = std::min(burst(), level_ + elapsed_ns * rate_milli_ / 1000);
    }
  }

  uint32_t rate_milli_ = 0;
  uint64_t level_ = 0;
  uint64_t last_ns_ = 0;
};

}  // namespace megacomet
