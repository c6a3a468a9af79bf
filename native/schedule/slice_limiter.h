// Limits how many workers send a fan-out slice at the same time.
// Where workers outnumber cores and all send a slice at once, they form a run queue, and a worker
// with a client to answer waits at its end: 408 ms (p99) with 56 workers and receivers on 2 cores,
// 74 ms with at most 2 workers in a slice. A worker never blocks for a slot. It serves its clients
// and tries again.
//
// A slot is leased for a time. A worker that the kernel preempts inside a slice waits behind every
// other runnable process, and the other workers do not have to wait with it. Without the lease, two
// slots that were held during a ping of a million clients let messages through at a tenth of the
// rate at which they arrived. A lease also needs no clean-up after a worker that froze or died.
//
// Every worker can write the leases, so a worker in hostile hands could hold all of them. A lease
// that ends later than an honest one is ignored. A worker that gets no slot for kDistrustAfterNs
// sends without one for kDistrustNs: a broadcast stalls for a moment only.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/bounds.h"
#include "ipc/segment.h"
#include "os/sys.h"

namespace megacomet {

class SliceLimiter {
 public:
  /// `clock` gives nanoseconds that never decrease, the same for all workers.
  explicit SliceLimiter(uint64_t (*clock)() = sys::monotonic_ns) : clock_(clock) {}

  void attach(SliceLeases* leases) { leases_ = leases; }

  /// At most one worker per core sends a slice; 0 cores for no limit.
  void set_oversubscribed(uint32_t workers, uint32_t cores) {
    limit_ = std::min(cores, bounds::kSliceSlotsMax);
    const uint32_t round = workers / std::max(1U, cores);
    lease_ns_ = std::clamp(round / 2, kLeaseSlicesMin, kLeaseSlicesMax) * bounds::kFanoutSliceNs;
    wait_max_s_ = std::clamp(kWaitSeconds * round, kWaitSeconds, kWaitSecondsMax);
  }

  /// Leases a slot; false if all slots are leased.
  [[nodiscard]] bool enter() {
    ends_ns_ = 0;
    if (limit_ == 0) return true;
    const uint64_t now_ns = clock_();
    if (now_ns < distrust_until_ns_) return true;
    for (uint32_t count = 0; count < limit_; ++count) {
      if (lease(now_ns)) {
        wait_s_ = 0;
        waits_since_ns_ = 0;
        return true;
      }
      index_ = (index_ + 1) % limit_;
    }
    return gives_up(now_ns);
  }

  /// Seconds to wait after enter() returned false: one slice, then twice as long each time, up to a
  /// round of all workers. Each attempt takes CPU from the workers that send. With 28 workers on 2
  /// cores, four attempts per round made a broadcast to 500,000 take 4.3 s; this takes 3.6 s.
  [[nodiscard]] double wait_s() const { return wait_s_; }

  /// Releases the slot, unless the lease expired and another worker has it now.
  void leave() {
    if (ends_ns_ == 0) return;
    slot().compare_exchange_strong(ends_ns_, 0, std::memory_order_relaxed);
    ends_ns_ = 0;
  }

 private:
  /// Far more than a running worker needs, however long the last delivery of its slice takes.
  static constexpr uint32_t kLeaseSlicesMin = 4;
  /// The more workers share a core, the later a preempted worker runs again. A short lease then
  /// lets in more workers than there are slots. With 28 workers on 2 cores new clients waited 25 to
  /// 52 ms (p99) at four slices, and 10 to 12 ms at seven or eight.
  static constexpr uint32_t kLeaseSlicesMax = 8;
  static constexpr double kWaitSeconds = 0.001;
  /// A round of 64 workers on 2 cores.
  static constexpr double kWaitSecondsMax = 0.032;

  /// About 140 attempts: an honest worker that gets a slot in one of ten fails in all of them once
  /// in millions of times.
  static constexpr uint64_t kDistrustAfterNs = 4'000'000'000;
  static constexpr uint64_t kDistrustNs = 60'000'000'000;
  /// After a pause between two attempts the worker had nothing to send, so it did not wait.
  static constexpr uint64_t kRestNs = 1'000'000'000;

  std::atomic<uint64_t>& slot() { return leases_->ends_ns[index_]; }

  bool lease(uint64_t now_ns) {
    uint64_t seen = slot().load(std::memory_order_relaxed);
    const uint64_t latest_ns = now_ns + kLeaseSlicesMax * bounds::kFanoutSliceNs;
    if (seen > now_ns && seen <= latest_ns) return false;
    const uint64_t ends_ns = now_ns + lease_ns_;
    if (!slot().compare_exchange_strong(seen, ends_ns, std::memory_order_relaxed)) return false;
    ends_ns_ = ends_ns;
    return true;
  }

  /// All slots are leased: whether to send without one.
  bool gives_up(uint64_t now_ns) {
    if (waits_since_ns_ == 0 || now_ns - tried_ns_ > kRestNs) waits_since_ns_ = now_ns;
    tried_ns_ = now_ns;
    if (now_ns - waits_since_ns_ >= kDistrustAfterNs) {
      distrust_until_ns_ = now_ns + kDistrustNs;
      waits_since_ns_ = 0;
      wait_s_ = 0;
      return true;
    }
    wait_s_ = std::clamp(2 * wait_s_, kWaitSeconds, wait_max_s_);
    return false;
  }

  uint64_t (*clock_)();
  SliceLeases* leases_ = nullptr;
  uint32_t limit_ = 0;
  /// The leased slot, or the first one to try; and the end of its lease, 0 without one.
  uint32_t index_ = 0;
  uint64_t ends_ns_ = 0;
  uint64_t lease_ns_ = kLeaseSlicesMin * bounds::kFanoutSliceNs;
  /// When the first and the last of consecutive attempts without a slot were; 0 without one.
  uint64_t waits_since_ns_ = 0;
  uint64_t tried_ns_ = 0;
  uint64_t distrust_until_ns_ = 0;
  double wait_s_ = 0;
  double wait_max_s_ = kWaitSeconds;
};

}  // namespace megacomet
