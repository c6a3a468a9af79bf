// The queued output of one connection: payloads in order, shared with other connections.
// An empty queue owns no memory besides itself: an idle session pays for three pointers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/check.h"
#include "pubsub/message.h"

namespace megacomet {

class SendQueue {
 public:
  /// Appends a payload from `offset` on. `is_message` marks one that a slow-consumer policy may
  /// drop as a whole. Heads, responses and control frames are never dropped.
  void append(Ref<Payload> payload, size_t offset, bool is_message) {
    bytes_ += payload->size() - offset;
    parts_.push_back({std::move(payload), offset, is_message && offset == 0});
  }

  [[nodiscard]] bool is_empty() const { return first_ == parts_.size(); }
  /// Queued bytes.
  [[nodiscard]] size_t size() const { return bytes_; }

  /// Parts in memory, those already sent included.
  [[nodiscard]] size_t capacity() const { return parts_.size(); }

  /// The bytes to send next; only while not empty.
  [[nodiscard]] const uint8_t* front() const {
    return parts_[first_].payload->data() + parts_[first_].offset;
  }
  [[nodiscard]] size_t front_size() const {
    return parts_[first_].payload->size() - parts_[first_].offset;
  }

  /// Removes bytes of the front that the kernel has taken.
  void consume(size_t size) {
    MC_CHECK(!is_empty() && size <= front_size());
    bytes_ -= size;
    Part& part = parts_[first_];
    part.offset += size;
    // Half a message would break the stream.
    part.is_droppable = false;
    if (part.offset < part.payload->size()) return;
    part.payload = Ref<Payload>();
    if (++first_ == parts_.size()) return clear();
    // The queue of a connection that is always slightly behind is never empty: sent parts would
    // accumulate.
    if (first_ * 2 < parts_.size()) return;
    parts_.erase(parts_.begin(), parts_.begin() + static_cast<std::ptrdiff_t>(first_));
    first_ = 0;
  }

  /// Drops messages, oldest first, until at most `bytes_max` are queued. Returns their number.
  uint32_t drop_oldest(size_t bytes_max) {
    uint32_t dropped = 0;
    size_t kept = first_;
    for (size_t at = first_; at < parts_.size(); ++at) {
      if (parts_[at].is_droppable && bytes_ > bytes_max) {
        bytes_ -= parts_[at].payload->size();
        ++dropped;
        continue;
      }
      if (kept != at) parts_[kept] = std::move(parts_[at]);
      ++kept;
    }
    parts_.resize(kept);
    if (is_empty()) clear();
    return dropped;
  }

  void clear() {
    // The memory too: a connection that was slow once is idle most of the time.
    std::vector<Part>().swap(parts_);
    first_ = 0;
    bytes_ = 0;
  }

 private:
  struct Part {
    Ref<Payload> payload;
    size_t offset = 0;
    bool is_droppable = false;
  };

  std::vector<Part> parts_;
  size_t first_ = 0;
  size_t bytes_ = 0;
};

}  // namespace megacomet
