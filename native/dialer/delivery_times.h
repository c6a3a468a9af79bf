// Delivery times of the latest messages to the subscribers of one dialer. Fixed memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/bounds.h"
#include "base/histogram.h"

namespace megacomet {

/// The deliveries of one message to many subscribers.
struct Delivery {
  /// Identifies the message.
  uint64_t key = 0;
  uint64_t count = 0;
  /// CLOCK_MONOTONIC, which all processes of a machine share.
  uint64_t first_ns = 0;
  uint64_t last_ns = 0;
  /// Times since `first_ns`.
  Histogram since_first;
};

/// A ring: a new message replaces the oldest one.
class DeliveryTimes {
 public:
  void record(uint64_t key, uint64_t now_ns) {
    Delivery* delivery = find(key);
    if (delivery == nullptr) {
      delivery = begin(key, now_ns);
    }
    ++delivery->count;
    delivery->last_ns = now_ns;
    delivery->since_first.record((now_ns - delivery->first_ns) / 1000);
  }

  void clear() {
    ring_.clear();
    latest_ = 0;
  }

  /// Unordered.
  [[nodiscard]] const std::vector<Delivery>& all() const { return ring_; }

 private:
  /// Searches backwards from the latest: during a broadcast every call has the same key.
  Delivery* find(uint64_t key) {
    for (size_t back = 0; back < ring_.size(); ++back) {
      Delivery& delivery = ring_[(latest_ + ring_.size() - back) % ring_.size()];
      if (delivery.key == key) return &delivery;
    }
    return nullptr;
  }

  Delivery* begin(uint64_t key, uint64_t now_ns) {
    if (ring_.size() < bounds::kDeliveryTimesMax) {
      ring_.emplace_back();
      latest_ = ring_.size() - 1;
    } else {
      latest_ = (latest_ + 1) % ring_.size();
      ring_[latest_] = Delivery{};
    }
    Delivery& delivery = ring_[latest_];
    delivery.key = key;
    delivery.first_ns = now_ns;
    return &delivery;
  }

  std::vector<Delivery> ring_;
  size_t latest_ = 0;
};

}  // namespace megacomet
