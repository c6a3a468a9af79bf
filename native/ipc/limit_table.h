// How many connections and events each address or user has on the whole server: a table of rows
// that all workers share and change with atomic operations.
//
// The kernel spreads the connections of one address over all workers, so a part of the limit for
// each worker would reject a client at random: 56 workers and a limit of 100 leave one or two. And
// the manager cannot answer for each handshake. So this is shared memory. A worker in hostile hands
// can have clients rejected, or not counted; it reaches nothing else here. Values that no honest
// worker writes are not believed.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/bounds.h"

namespace megacomet {

/// The key of a row: 40 bits of a keyed hash, so that a client cannot aim at another row; never 0.
/// The low bits choose the row.
using LimitTag = uint64_t;
constexpr LimitTag kLimitTagMask = (uint64_t{1} << 40) - 1;

/// Free if all bytes are zero.
struct LimitRow {
  /// The tag above kCountBits, and the count. In one word, so that a row never counts for two.
  std::atomic<uint64_t> owner;
  /// When the rate allows all events so far (the generic cell rate algorithm), on the monotonic
  /// clock.
  std::atomic<uint64_t> even_at_ns;
};
static_assert(sizeof(LimitRow) == 16, "four rows in a cache line");

/// Lives in shared memory, where it begins as zeros.
class LimitTable {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr uint32_t kCountBits = 24;
  static constexpr uint32_t kCountMax = (1U << kCountBits) - 1;

  enum class Result : uint8_t {
    kEntered,
    /// The count is at its maximum.
    kFull,
    /// The rows where the tag may stand are in use: it is not counted.
    kNoRow,
  };
  struct Entry {
    Result result;
    uint32_t row;
    uint32_t count;
  };

  /// Counts one more for a tag, up to `count_max`.
  [[nodiscard]] Entry enter(LimitTag tag, uint32_t count_max, uint64_t now_ns);
  /// Counts one less in a row.
  void leave(uint32_t row);
  /// The row of a tag; kNone if it has none.
  [[nodiscard]] uint32_t find(LimitTag tag) const;
  [[nodiscard]] LimitTag tag_of(uint32_t row) const;

  /// Counts an event of a row; false if it exceeds the rate. A second's events may arrive at once.
  [[nodiscard]] bool take(uint32_t row, uint64_t interval_ns, uint64_t now_ns);

  /// The sum of all counts.
  [[nodiscard]] uint32_t total() const { return total_.load(std::memory_order_relaxed); }

 private:
  [[nodiscard]] static uint32_t row_at(LimitTag tag, uint32_t probe) {
    return (static_cast<uint32_t>(tag) + probe) & (bounds::kLimitRows - 1);
  }

  alignas(64) std::atomic<uint32_t> total_;
  alignas(64) LimitRow rows_[bounds::kLimitRows];
};

struct LimitTables {
  LimitTable addresses;
  LimitTable users;
};

}  // namespace megacomet
