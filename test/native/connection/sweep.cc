// Tests of the sweep: who is closed, when at the latest, never early, and over the clock's wrap.
#include "connection/sweep.h"

#include "support/fake_services.h"
#include "support/unit.h"

using namespace megacomet;

namespace {

struct Swept {
  Swept() : services(&connections), sweep(&connections, &services) {
    EXPECT(connections.map(3 * bounds::kSlabChunkRecords));
  }
  Slab<Connection> connections;
  unit::FakeServices services;
  Sweep sweep;
};

}  // namespace

TEST("a sweep closes a silent connection after its timeout, at most a quarter and a second later") {
  for (const uint32_t timeout : {1U, 2U, 3U, 4U, 7U, 8U, 60U, 900U, 32'400U}) {
    // Near the wrap of the 16-bit clock as well.
    for (const uint32_t start : {0U, 65'500U, 30'000U}) {
      Swept swept;
      swept.sweep.set_timeout(timeout);
      const int fds[] = {0, 4095, 4096, 12'287};
      for (const int fd : fds) swept.services.open(fd, static_cast<uint16_t>(start + timeout));
      for (uint32_t second = 1; second <= timeout; ++second) {
        swept.sweep.tick(static_cast<uint16_t>(start + second));
      }
      // The byte may have come at the end of its tick, so a full timeout has not passed yet.
      EXPECT_EQUAL(swept.services.closed.size(), 0U);
      for (uint32_t second = timeout + 1; second <= timeout + timeout / 4 + 1; ++second) {
        swept.sweep.tick(static_cast<uint16_t>(start + second));
      }
      EXPECT_EQUAL(swept.services.closed.size(), 4U);
      for (const auto& [fd, cause] : swept.services.closed) EXPECT(cause == CloseCause::kIdle);
    }
  }
}

TEST("a sweep leaves a connection alone whose deadline moves on") {
  Swept swept;
  swept.sweep.set_timeout(8);
  Connection* connection = swept.services.open(5);
  for (uint32_t second = 0; second < 70'000; ++second) {
    connection->deadline = static_cast<uint16_t>(second + 8 - unit::upto(7));
    swept.sweep.tick(static_cast<uint16_t>(second));
  }
  EXPECT_EQUAL(swept.services.closed.size(), 0U);
}

TEST("a sweep closes for a message that is late, whatever the other deadline says") {
  for (const uint32_t start : {0U, 65'529U, 30'000U}) {
    Swept swept;
    swept.sweep.set_timeout(8);
    const auto at = [start](uint32_t second) { return static_cast<uint16_t>(start + second); };
    const auto silent = swept.services.open(5);
    const auto busy = swept.services.open(6);
    const auto done = swept.services.open(7);
    for (Connection* connection : {silent, busy, done}) connection->deadline = at(100);
    for (Connection* connection : {busy, done}) connection->begin_message(at(7));
    done->end_message();
    EXPECT(busy->has_begun_message() && !done->has_begun_message());
    for (uint32_t second = 1; second <= 20; ++second) {
      swept.sweep.tick(at(second));
      if (second <= 7) EXPECT_EQUAL(swept.services.closed.size(), 0U);
    }
    EXPECT_EQUAL(swept.services.closed.size(), 1U);
    EXPECT(swept.services.closed.count(6) == 1 &&
           swept.services.closed[6] == CloseCause::kMessageTimeout);
  }
}

TEST("what a record keeps beside its watcher stays apart") {
  Connection connection{};
  connection.set_wants_from(0xfedcba98U);
  connection.begin_message(3);
  EXPECT_EQUAL(connection.wants_from(), 0xfedcba98U);
  connection.set_wants_from(7);
  EXPECT(connection.has_begun_message() && connection.is_message_late(4));
  connection.end_message();
  EXPECT_EQUAL(connection.wants_from(), 7U);
}

TEST("a connection may send so many pings and pongs between two looks of the sweep") {
  Swept swept;
  swept.sweep.set_timeout(8);
  Connection* connection = swept.services.open(5, 1000);
  const auto count = [connection] {
    uint32_t counted = 0;
    while (connection->count_control()) ++counted;
    return counted;
  };
  EXPECT_EQUAL(count(), uint32_t{bounds::kWebSocketControlsMax});
  EXPECT_EQUAL(count(), 0U);
  connection->set_wants_from(7);
  connection->begin_message(900);
  // One look in two seconds.
  for (uint16_t second = 1; second <= 2; ++second) swept.sweep.tick(second);
  EXPECT_EQUAL(count(), uint32_t{bounds::kWebSocketControlsMax});
  EXPECT(connection->has_begun_message() && connection->wants_from() == 7);
  EXPECT_EQUAL(swept.services.closed.size(), 0U);
}

TEST("a sweep without a timeout closes nothing") {
  Swept swept;
  swept.services.open(5);
  for (uint32_t second = 0; second < 100; ++second) swept.sweep.tick(static_cast<uint16_t>(second));
  EXPECT_EQUAL(swept.services.closed.size(), 0U);
}

TEST("a sweep also closes a connection that owes bytes to a peer that does not read") {
  Swept swept;
  swept.sweep.set_timeout(4);
  swept.services.open(9, 4, true);
  for (uint16_t second = 1; second < 7; ++second) swept.sweep.tick(second);
  EXPECT_EQUAL(swept.services.closed.size(), 1U);
}
