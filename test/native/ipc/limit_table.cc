// Tests of the shared rows that count connections and events.
#include "ipc/limit_table.h"

#include <memory>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include "ipc/segment.h"
#include "support/unit.h"

using namespace megacomet;
using Result = LimitTable::Result;

namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kNow = 100 * kSecond;

/// In shared memory, as in a server.
struct Tables {
  Tables() { EXPECT(memory.create("tables")); }
  LimitTable& operator*() const { return memory->limits[0].addresses; }
  LimitTable* operator->() const { return &**this; }
  SharedPage<WorkersMemory> memory;
};

}  // namespace

TEST("a tag counts up to its maximum, and again after a leave") {
  const Tables table;
  LimitTable::Entry entry{};
  for (uint32_t count = 1; count <= 3; ++count) {
    entry = table->enter(7, 3, kNow);
    EXPECT(entry.result == Result::kEntered);
    EXPECT_EQUAL(entry.count, count);
  }
  EXPECT(table->enter(7, 3, kNow).result == Result::kFull);
  EXPECT(table->enter(8, 3, kNow).result == Result::kEntered);
  EXPECT_EQUAL(table->total(), 4U);
  table->leave(entry.row);
  EXPECT(table->enter(7, 3, kNow).result == Result::kEntered);
  EXPECT_EQUAL(table->tag_of(entry.row), LimitTag{7});
  EXPECT_EQUAL(table->find(7), entry.row);
  EXPECT_EQUAL(table->find(9), LimitTable::kNone);
}

TEST("more leaves than entries do not count below zero") {
  const Tables table;
  const LimitTable::Entry entry = table->enter(7, 3, kNow);
  for (int count = 0; count < 5; ++count) table->leave(entry.row);
  EXPECT_EQUAL(table->total(), 0U);
  EXPECT_EQUAL(table->enter(7, 3, kNow).count, 1U);
}

TEST("tags of the same row have rows beside each other, until none is left") {
  const Tables table;
  const auto tag_at = [](uint64_t index) { return index << 20U | 5U; };
  std::vector<uint32_t> rows;
  for (uint64_t index = 1; index <= bounds::kLimitProbes; ++index) {
    const LimitTable::Entry entry = table->enter(tag_at(index), 9, kNow);
    EXPECT(entry.result == Result::kEntered);
    rows.push_back(entry.row);
  }
  EXPECT(table->enter(tag_at(99), 9, kNow).result == Result::kNoRow);
  table->leave(rows[3]);
  const LimitTable::Entry entry = table->enter(tag_at(99), 9, kNow);
  EXPECT_EQUAL(entry.row, rows[3]);
  EXPECT_EQUAL(table->find(tag_at(4)), LimitTable::kNone);
}

TEST("events have a rate, with a burst of one second, that outlives the connections") {
  const Tables table;
  const LimitTable::Entry entry = table->enter(7, 9, kNow);
  const auto burst_at = [&](uint64_t now_ns) {
    uint32_t count = 0;
    while (count < 1000 && table->take(entry.row, kSecond / 10, now_ns)) ++count;
    return count;
  };
  EXPECT_EQUAL(burst_at(kNow), 10U);
  table->leave(entry.row);
  // Another tag does not get the row while the rate of the first one is exceeded.
  const LimitTag neighbour = uint64_t{1} << 30U | 7U;
  EXPECT(table->enter(neighbour, 9, kNow + kSecond / 2).row != entry.row);
  EXPECT_EQUAL(burst_at(kNow + kSecond / 2), 5U);
  EXPECT_EQUAL(burst_at(kNow + 100 * kSecond), 10U);
  EXPECT(table->enter(neighbour + (uint64_t{1} << 31U), 9, kNow + 200 * kSecond).row == entry.row);
}

TEST("a rate below one event a second admits one") {
  const Tables table;
  const LimitTable::Entry entry = table->enter(7, 9, kNow);
  EXPECT(table->take(entry.row, 5 * kSecond, kNow) && !table->take(entry.row, 5 * kSecond, kNow));
}

TEST("values that no honest worker writes are not believed") {
  const Tables table;
  const LimitTable::Entry entry = table->enter(7, 9, kNow);
  for (uint32_t count = 0; count < 8; ++count) (void)table->enter(7, 9, kNow);
  EXPECT(table->enter(7, 5, kNow).result == Result::kNoRow);
  // As if another worker had written that the rate is exceeded for a day.
  EXPECT(table->take(entry.row, 1, kNow + 86'400 * kSecond));
  EXPECT(table->take(entry.row, kSecond, kNow));
}

TEST("processes that count at the same time do not lose a count") {
  const Tables table;
  constexpr uint32_t kProcesses = 4;
  constexpr uint32_t kTags = 50;
  constexpr uint32_t kRounds = 200;
  for (uint32_t process = 0; process < kProcesses; ++process) {
    if (::fork() != 0) continue;
    for (uint32_t round = 0; round < kRounds; ++round) {
      for (uint64_t tag = 1; tag <= kTags; ++tag) {
        (void)table->enter(tag, LimitTable::kCountMax, kNow);
        const LimitTable::Entry entry = table->enter(tag, LimitTable::kCountMax, kNow);
        table->leave(entry.row);
      }
    }
    ::_exit(0);
  }
  for (uint32_t process = 0; process < kProcesses; ++process) ::wait(nullptr);
  EXPECT_EQUAL(table->total(), kProcesses * kTags * kRounds);
  for (uint64_t tag = 1; tag <= kTags; ++tag) {
    const LimitTable::Entry entry = table->enter(tag, LimitTable::kCountMax, kNow);
    EXPECT_EQUAL(entry.count, kProcesses * kRounds + 1);
  }
}

TEST("a cleared set is empty in every process, and the other one stays") {
  Segment segment;
  if (!EXPECT(segment.create(1))) return;
  SharedPage<WorkersMemory> memory;
  if (!EXPECT(memory.open(::dup(segment.shared_fd())))) return;
  for (LimitTables& set : memory->limits) {
    EXPECT(set.addresses.enter(7, 9, kNow).result == Result::kEntered);
    EXPECT(set.users.enter(7, 9, kNow).result == Result::kEntered);
  }
  EXPECT(segment.clear_limits(1));
  EXPECT_EQUAL(memory->limits[1].addresses.total() + memory->limits[1].users.total(), 0U);
  EXPECT_EQUAL(memory->limits[1].users.find(7), LimitTable::kNone);
  EXPECT_EQUAL(memory->limits[0].addresses.total() + memory->limits[0].users.total(), 2U);
}
