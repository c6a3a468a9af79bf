// When the subscribers of one dialer got each of the latest messages. Fixed memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/bounds.h"
#include "base/histogram.h"

namespace megacomet {

/// One message on its way to many subscribers.
struct Arrival {
  /// Names the message: equal keys are one message.
  uint64_t key = 0;
  uint64_t count = 0;
  /// CLOCK_MONOTONIC, which is the same in all processes of a machine.
  uint64_t first_ns = 0;
  uint64_t last_ns = 0;
  /// Times since `first_ns`.
  Histogram since_first;
};

/// A ring: a new message takes the place of the oldest one.
class DeliveryTimes {
 public:
  void record(uint64_t key, uint64_t now_ns) {
    Arrival* arrival = find(key);
    if (arrival == nullptr) {
      arrival = begin(key, now_ns);
    }
    ++arrival->count;
    arrival->last_ns = now_ns;
    arrival->since_first.record((now_ns - arrival->first_ns) / 1000);
  }

  void clear() {
    ring_.clear();
    latest_ = 0;
  }

  /// In no order.
  [[nodiscard]] const std::vector<Arrival>& all() const { return ring_; }

 private:
  /// Backwards from the latest: a broadcast asks for the same one each time.
  Arrival* find(uint64_t key) {
    for (size_t back = 0; back < ring_.size(); ++back) {
      Arrival& arrival = ring_[(latest_ + ring_.size() - back) % ring_.size()];
      if (arrival.key == key) return &arrival;
    }
    return nullptr;
  }

  Arrival* begin(uint64_t key, uint64_t now_ns) {
    if (ring_.size() < bounds::kDeliveryTimesMax) {
      ring_.emplace_back();
      latest_ = ring_.size() - 1;
    } else {
      latest_ = (latest_ + 1) % ring_.size();
      ring_[latest_] = Arrival{};
    }
    Arrival& arrival = ring_[latest_];
    arrival.key = key;
    arrival.first_ns = now_ns;
    return &arrival;
  }

  std::vector<Arrival> ring_;
  size_t latest_ = 0;
};

}  // namespace megacomet
