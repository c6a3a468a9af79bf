// Whether those who come have to wait, and what a broadcast leaves them then.
// Who is not in yet gets nothing, and who is in gets all that is on its way in one write, however
// late. So where both want more than there is, those who come go first, and a broadcast keeps a
// sixteenth. A million that came back while 100,000 messages a second went out needed 79 s to be in
// with slices that took what they could get: most of what was sent early was sent for nothing, one
// packet for each message instead of one for all.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/bounds.h"

namespace megacomet {

class AcceptPressure {
 public:
  /// So many workers take turns on so many cores; 0 cores for a core each.
  void set_crowd(uint32_t workers, uint32_t cores) {
    const uint64_t turns = cores == 0 ? 1 : std::max(1U, (workers + cores - 1) / cores);
    rest_ns_ = turns * kRestSlices * bounds::kFanoutSliceNs;
  }

  /// The first of a crowd has waited for so long.
  void waited(uint32_t ms, uint64_t now_ns) {
    if (ms >= kLateMs) late_until_ns_ = now_ns + kLateNs;
  }

  /// A slice of a broadcast is over.
  void sliced(uint64_t now_ns) {
    resting_until_ns_ = now_ns < late_until_ns_ ? now_ns + rest_ns_ : 0;
  }

  /// How long the next slice has still to wait.
  [[nodiscard]] double rest_s(uint64_t now_ns) const {
    return now_ns < resting_until_ns_ ? static_cast<double>(resting_until_ns_ - now_ns) / 1e9 : 0.;
  }

 private:
  /// Far above what a busy loop makes anybody wait (10 to 50 ms), and far below what people notice.
  static constexpr uint32_t kLateMs = 100;
  /// What one of them tells holds so long: the next may come in another turn, or to another worker.
  static constexpr uint64_t kLateNs = 1'000'000'000;
  static constexpr uint64_t kRestSlices = 15;

  uint64_t rest_ns_ = kRestSlices * bounds::kFanoutSliceNs;
  uint64_t late_until_ns_ = 0;
  uint64_t resting_until_ns_ = 0;
};

}  // namespace megacomet
