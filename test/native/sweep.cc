// Tests of the sweep: who is closed, when at the latest, never early, and over the clock's wrap.
#include "sweep.h"

#include "fake_services.h"
#include "unit.h"

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
