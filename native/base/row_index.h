// From the hash of a key to the number of a row: open addressing with linear probing. The owner has
// the rows and their keys.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/check.h"

namespace megacomet {

class RowIndex {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;

  [[nodiscard]] size_t size() const { return size_; }

  /// The row with this hash for which is_same(row) is true; kNone if there is none.
  template <typename IsSame>
  [[nodiscard]] uint32_t find(uint32_t hash, IsSame is_same) const {
    if (entries_.empty()) return kNone;
    for (size_t at = hash & mask(); entries_[at].row != kNone; at = (at + 1) & mask()) {
      if (entries_[at].hash == hash && is_same(entries_[at].row)) return entries_[at].row;
    }
    return kNone;
  }

  /// Adds a row that is not there yet.
  void insert(uint32_t hash, uint32_t row) {
    if ((size_ + 1) * 2 > entries_.size()) resize(entries_.size() * 2);
    place({hash, row});
    ++size_;
  }

  /// Removes a row that was inserted with this hash.
  void erase(uint32_t hash, uint32_t row) {
    size_t hole = hash & mask();
    while (entries_[hole].row != row) {
      MC_CHECK(entries_[hole].row != kNone);
      hole = (hole + 1) & mask();
    }
    entries_[hole] = Entry();
    --size_;
    // Entries that were displaced past the hole move into it, so that no search stops early.
    for (size_t at = (hole + 1) & mask(); entries_[at].row != kNone; at = (at + 1) & mask()) {
      const size_t home = entries_[at].hash & mask();
      if (((at - home) & mask()) < ((at - hole) & mask())) continue;
      entries_[hole] = std::exchange(entries_[at], Entry());
      hole = at;
    }
  }

  /// Gives back memory of removed rows.
  void trim() {
    size_t wanted = kEntriesMin;
    while (wanted < (size_ + 1) * 2) wanted *= 2;
    if (wanted < entries_.size()) resize(wanted);
  }

 private:
  struct Entry {
    uint32_t hash = 0;
    uint32_t row = kNone;
  };

  static constexpr size_t kEntriesMin = 64;

  [[nodiscard]] size_t mask() const { return entries_.size() - 1; }

  void place(const Entry& entry) {
    size_t at = entry.hash & mask();
    while (entries_[at].row != kNone) at = (at + 1) & mask();
    entries_[at] = entry;
  }

  void resize(size_t wanted) {
    const std::vector<Entry> old =
        std::exchange(entries_, std::vector<Entry>(wanted < kEntriesMin ? kEntriesMin : wanted));
    for (const Entry& entry : old) {
      if (entry.row != kNone) place(entry);
    }
  }

  /// A power of two of them, at most half full.
  std::vector<Entry> entries_;
  size_t size_ = 0;
};

}  // namespace megacomet
