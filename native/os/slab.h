// Records indexed by descriptor, in one reserved address range.
// The kernel assigns the lowest free descriptor, so the numbers stay dense, and the index needs no
// hash, no free list and no allocator.
#pragma once

#include <cstdint>
#include <numeric>
#include <vector>

#include "base/bounds.h"
#include "base/check.h"
#include "os/sys.h"

namespace megacomet {

/// `T` must be trivial, and free when all its bytes are zero.
template <typename T>
class Slab {
 public:
  /// A chunk fills whole pages.
  static constexpr uint32_t kPageRecords = 4096 / std::gcd(size_t{4096}, sizeof(T));
  static constexpr uint32_t kChunkRecords =
      bounds::kSlabChunkBytes / sizeof(T) / kPageRecords * kPageRecords;

  Slab() = default;
  Slab(const Slab&) = delete;
  Slab& operator=(const Slab&) = delete;
  ~Slab() {
    if (records_ != nullptr) sys::release_memory(records_, bytes());
  }

  /// Reserves address space for the descriptors 0 to `capacity` - 1, rounded up to whole chunks.
  /// False on failure.
  [[nodiscard]] bool map(uint32_t capacity) {
    MC_CHECK(records_ == nullptr && capacity > 0);
    const uint32_t chunks = (capacity + kChunkRecords - 1) / kChunkRecords;
    live_.assign(chunks, 0);
    stale_.assign(chunks, false);
    records_ = static_cast<T*>(sys::reserve_memory(bytes()));
    return records_ != nullptr;
  }

  /// Leaves the records out of core dumps. Needs map().
  void hide_from_dumps() { sys::hide_from_dumps(records_, bytes()); }

  [[nodiscard]] uint32_t capacity() const {
    return static_cast<uint32_t>(live_.size()) * kChunkRecords;
  }
  [[nodiscard]] uint32_t size() const { return size_; }

  /// The index after the last chunk with a record in use.
  [[nodiscard]] uint32_t end() const {
    size_t chunks = live_.size();
    while (chunks > 0 && live_[chunks - 1] == 0) --chunks;
    return static_cast<uint32_t>(chunks) * kChunkRecords;
  }

  /// The record of a descriptor, occupied or not.
  [[nodiscard]] T* at(int fd) {
    MC_CHECK(fd >= 0 && static_cast<uint32_t>(fd) < capacity());
    return records_ + fd;
  }

  /// Counts a record as in use. The caller fills it.
  T* occupy(int fd) {
    T* record = at(fd);
    ++live_[chunk_of(fd)];
    ++size_;
    return record;
  }

  /// Zeroes a record, which frees it.
  void release(int fd) {
    T* record = at(fd);
    const uint32_t chunk = chunk_of(fd);
    MC_CHECK(live_[chunk] > 0);
    *record = T{};
    --size_;
    if (--live_[chunk] == 0) {
      stale_[chunk] = true;
      any_stale_ = true;
    }
  }

  /// Returns the pages of empty chunks to the kernel. Call it from a slow timer: otherwise a chunk
  /// that one connection fills and empties would cost a system call and a page fault each time.
  void trim() {
    if (!any_stale_) return;
    any_stale_ = false;
    for (uint32_t chunk = 0; chunk < live_.size(); ++chunk) {
      if (!stale_[chunk]) continue;
      stale_[chunk] = false;
      if (live_[chunk] != 0) continue;
      sys::forget_pages(records_ + static_cast<size_t>(chunk) * kChunkRecords,
                        kChunkRecords * sizeof(T));
    }
  }

  /// Calls `visit(record)` for each record of [first, last), free ones included, until it returns
  /// false. Skips chunks without a record in use. `visit` may release records. Returns the index
  /// after the last visited record, or `last`.
  template <typename Visit>
  uint32_t visit(uint32_t first, uint32_t last, Visit visit) {
    MC_CHECK(first <= last && last <= capacity());
    for (uint32_t index = first; index < last;) {
      const uint32_t chunk = index / kChunkRecords;
      const uint32_t chunk_end = (chunk + 1) * kChunkRecords;
      const uint32_t end = chunk_end < last ? chunk_end : last;
      for (; index < end && live_[chunk] > 0; ++index) {
        if (!visit(records_[index])) return index + 1;
      }
      index = end;
    }
    return last;
  }

 private:
  static_assert(kChunkRecords > 0, "a chunk has records");

  [[nodiscard]] size_t bytes() const { return static_cast<size_t>(capacity()) * sizeof(T); }
  static uint32_t chunk_of(int fd) { return static_cast<uint32_t>(fd) / kChunkRecords; }

  T* records_ = nullptr;
  uint32_t size_ = 0;
  bool any_stale_ = false;
  std::vector<uint32_t> live_;
  std::vector<bool> stale_;
};

}  // namespace megacomet
