// Tests of the sweep: it closes in time and never early, also when the clock wraps.
#include "connection/sweep.h"

#include "support/fake_owner.h"
#include "support/unit.h"

using namespace megacomet;

namespace {

struct Swept {
  explicit Swept(uint32_t start = 0) : owner(&connections), sweep(&connections, &due, &owner) {
    EXPECT(connections.map(3 * Slab<Connection>::kChunkRecords));
    due.reset(connections.capacity(), static_cast<uint16_t>(start));
    sweep.tick(static_cast<uint16_t>(start));
    sweep.set_on(true);
  }
  Slab<Connection> connections;
  DueIndex due;
  unit::FakeOwner owner;
  Sweep sweep;
};

}  // namespace

TEST("a sweep visits a silent connection at its deadline, also near the wrap of the clock") {
  for (const uint32_t timeout : {1U, 2U, 3U, 4U, 7U, 8U, 60U, 900U, 32'400U}) {
    for (const uint32_t start : {0U, 65'500U, 30'000U}) {
      Swept swept(start);
      for (const int fd : {0, 4095, 4096, 12'287}) {
        swept.owner.open(fd, static_cast<uint16_t>(start + timeout));
      }
      for (uint32_t second = 1; second < timeout; ++second) {
        swept.sweep.tick(static_cast<uint16_t>(start + second));
      }
      EXPECT_EQUAL(swept.owner.closed.size(), 0U);
      swept.sweep.tick(static_cast<uint16_t>(start + timeout));
      EXPECT_EQUAL(swept.owner.closed.size(), 4U);
      for (const auto& [fd, cause] : swept.owner.closed) EXPECT(cause == CloseCause::kIdle);
    }
  }
}

TEST("an earlier deadline that is noted is found, and a later one of its group is kept") {
  Swept swept;
  swept.owner.open(8, 100);
  Connection* connection = swept.owner.open(9, 200);
  swept.sweep.tick(1);
  connection->deadline = 5;
  swept.due.note(9, 5);
  for (uint16_t second = 2; second <= 100; ++second) {
    swept.sweep.tick(second);
    EXPECT_EQUAL(swept.owner.closed.size(), second < 5 ? 0U : second < 100 ? 1U : 2U);
  }
}

TEST("a sweep does not close a connection whose deadline moves") {
  Swept swept;
  Connection* connection = swept.owner.open(5);
  for (uint32_t second = 0; second < 70'000; ++second) {
    connection->deadline = static_cast<uint16_t>(second + 8 - unit::upto(7));
    swept.sweep.tick(static_cast<uint16_t>(second));
  }
  EXPECT_EQUAL(swept.owner.closed.size(), 0U);
}

TEST("a sweep closes a connection with a late message, at any other deadline") {
  for (const uint32_t start : {0U, 65'529U, 30'000U}) {
    Swept swept(start);
    const auto at = [start](uint32_t second) { return static_cast<uint16_t>(start + second); };
    const auto silent = swept.owner.open(5);
    const auto busy = swept.owner.open(6);
    const auto done = swept.owner.open(7);
    for (Connection* connection : {silent, busy, done}) connection->deadline = at(100);
    for (Connection* connection : {busy, done}) connection->begin_message(at(7));
    done->end_message();
    EXPECT(busy->has_begun_message() && !done->has_begun_message());
    for (uint32_t second = 1; second <= 20; ++second) {
      swept.sweep.tick(at(second));
      if (second <= 7) EXPECT_EQUAL(swept.owner.closed.size(), 0U);
    }
    EXPECT_EQUAL(swept.owner.closed.size(), 1U);
    EXPECT(swept.owner.closed.count(6) == 1 &&
           swept.owner.closed[6] == CloseCause::kMessageTimeout);
  }
}

TEST("the members of WatcherData do not overlap") {
  Connection connection{};
  connection.set_next_wanted(0xfedcba98U);
  connection.begin_message(3);
  EXPECT_EQUAL(connection.next_wanted(), 0xfedcba98U);
  connection.set_next_wanted(7);
  EXPECT(connection.has_begun_message() && connection.is_message_late(4));
  connection.end_message();
  EXPECT_EQUAL(connection.next_wanted(), 7U);
}

TEST("pings and pongs between two passes of the sweep are limited") {
  Swept swept;
  Connection* connection = swept.owner.open(5, 1000);
  const auto count = [connection] {
    uint32_t counted = 0;
    while (connection->count_control()) ++counted;
    return counted;
  };
  EXPECT_EQUAL(count(), uint32_t{bounds::kWebSocketControlsMax});
  EXPECT_EQUAL(count(), 0U);
  connection->set_next_wanted(7);
  connection->begin_message(900);
  // One pass in two seconds.
  for (uint16_t second = 1; second <= 2; ++second) swept.sweep.tick(second);
  EXPECT_EQUAL(count(), uint32_t{bounds::kWebSocketControlsMax});
  EXPECT(connection->has_begun_message() && connection->next_wanted() == 7);
  EXPECT_EQUAL(swept.owner.closed.size(), 0U);
}

TEST("a sweep that is off closes nothing, and all that is due when it is on again") {
  Swept swept;
  swept.sweep.set_on(false);
  swept.owner.open(5);
  for (uint32_t second = 0; second < 100; ++second) swept.sweep.tick(static_cast<uint16_t>(second));
  EXPECT_EQUAL(swept.owner.closed.size(), 0U);
  swept.sweep.set_on(true);
  swept.sweep.tick(100);
  EXPECT_EQUAL(swept.owner.closed.size(), 1U);
}

TEST("a sweep also closes a blocked connection whose peer does not read") {
  Swept swept;
  swept.owner.open(9, 4, true);
  for (uint16_t second = 1; second < 7; ++second) swept.sweep.tick(second);
  EXPECT_EQUAL(swept.owner.closed.size(), 1U);
}
