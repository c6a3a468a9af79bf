// Rows that many processes change at once. See limit_table.h.
#include "ipc/limit_table.h"

#include <algorithm>

namespace megacomet {

namespace {

constexpr uint64_t kSecondNs = 1'000'000'000;
/// Attempts to change a row that other workers change too: 16 workers that all hit one row at once
/// need fewer.
constexpr int kAttempts = 64;

constexpr uint32_t count_in(uint64_t owner) {
  return static_cast<uint32_t>(owner) & LimitTable::kCountMax;
}
constexpr LimitTag tag_in(uint64_t owner) {
  return owner >> LimitTable::kCountBits;
}
constexpr uint64_t owner_of(LimitTag tag, uint32_t count) {
  return tag << LimitTable::kCountBits | count;
}

}  // namespace

LimitTable::Entry LimitTable::enter(LimitTag tag, uint32_t count_max, uint64_t now_ns) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    uint32_t chosen = kNone;
    uint64_t seen = 0;
    for (uint32_t probe = 0; probe < bounds::kLimitProbes; ++probe) {
      const uint32_t row = row_at(tag, probe);
      const uint64_t owner = rows_[row].owner.load(std::memory_order_relaxed);
      if (tag_in(owner) == tag) {
        chosen = row;
        seen = owner;
        break;
      }
      // A row without connections is kept until its events have evened out.
      const bool is_free =
          count_in(owner) == 0 && rows_[row].even_at_ns.load(std::memory_order_relaxed) <= now_ns;
      if (!is_free || chosen != kNone) continue;
      chosen = row;
      seen = owner;
    }
    if (chosen == kNone) return {Result::kNoRow, kNone, 0};
    const uint32_t count = tag_in(seen) == tag ? count_in(seen) : 0;
    // No honest worker writes more than the maximum.
    if (count > count_max) return {Result::kNoRow, kNone, 0};
    if (count == count_max) return {Result::kFull, chosen, count};
    const uint64_t next = owner_of(tag, count + 1);
    if (!rows_[chosen].owner.compare_exchange_strong(seen, next, std::memory_order_relaxed)) {
      continue;
    }
    total_.fetch_add(1, std::memory_order_relaxed);
    return {Result::kEntered, chosen, count + 1};
  }
  return {Result::kNoRow, kNone, 0};
}

void LimitTable::leave(uint32_t row) {
  uint64_t owner = rows_[row].owner.load(std::memory_order_relaxed);
  while (count_in(owner) > 0) {
    if (!rows_[row].owner.compare_exchange_weak(owner, owner - 1, std::memory_order_relaxed)) {
      continue;
    }
    total_.fetch_sub(1, std::memory_order_relaxed);
    return;
  }
}

uint32_t LimitTable::find(LimitTag tag) const {
  for (uint32_t probe = 0; probe < bounds::kLimitProbes; ++probe) {
    const uint32_t row = row_at(tag, probe);
    if (tag_of(row) == tag) return row;
  }
  return kNone;
}

LimitTag LimitTable::tag_of(uint32_t row) const {
  return tag_in(rows_[row].owner.load(std::memory_order_relaxed));
}

bool LimitTable::take(uint32_t row, uint64_t interval_ns, uint64_t now_ns) {
  std::atomic<uint64_t>& even_at_ns = rows_[row].even_at_ns;
  const uint64_t latest_ns = now_ns + std::max(kSecondNs, interval_ns);
  uint64_t seen = even_at_ns.load(std::memory_order_relaxed);
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    // No honest worker writes a time after the latest one.
    const uint64_t from_ns = seen > latest_ns ? now_ns : std::max(seen, now_ns);
    const uint64_t next_ns = from_ns + interval_ns;
    if (next_ns > latest_ns) return false;
    if (even_at_ns.compare_exchange_weak(seen, next_ns, std::memory_order_relaxed)) return true;
  }
  return true;
}

}  // namespace megacomet
