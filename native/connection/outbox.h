// Bytes that the kernel did not take yet for one slow peer, with a limit.
// Exists only while something waits: an idle connection has none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/check.h"

namespace megacomet {

class Outbox {
 public:
  explicit Outbox(size_t bytes_max) : bytes_max_(bytes_max) {}

  /// Appends a copy. False, and nothing is added, if it would pass the limit.
  [[nodiscard]] bool append(const uint8_t* bytes, size_t size) {
    if (size > bytes_max_ - this->size()) return false;
    bytes_.insert(bytes_.end(), bytes, bytes + size);
    return true;
  }

  /// The bytes to send next; valid until append() or consume().
  [[nodiscard]] const uint8_t* data() const { return bytes_.data() + sent_; }
  [[nodiscard]] size_t size() const { return bytes_.size() - sent_; }
  [[nodiscard]] bool is_empty() const { return size() == 0; }

  /// Forgets the first `size` bytes, which the kernel has taken.
  void consume(size_t size) {
    MC_CHECK(size <= this->size());
    sent_ += size;
  }

 private:
  std::vector<uint8_t> bytes_;
  size_t sent_ = 0;
  size_t bytes_max_;
};

}  // namespace megacomet
