// Tests of the drain: its pace, its end, and connections with queued output.
#include "connection/drain.h"

#include "os/sys.h"
#include "support/fake_owner.h"
#include "support/fixture.h"
#include "support/unit.h"

using namespace megacomet;

namespace {

constexpr uint64_t kNsPerMs = 1'000'000;

struct Drained final : DrainHandler {
  Drained()
      : owner(&connections), drain(loop.get(), &connections, &owner, CloseCause::kDrain, this) {
    EXPECT(connections.map(3 * Slab<Connection>::kChunkRecords));
  }
  void on_drained(uint32_t count) override {
    ++calls;
    closed = count;
    ended_ns = sys::monotonic_ns();
  }
  bool is_over() {
    return unit::run_until(loop.get(), [this] { return calls > 0; });
  }

  LoopOwner loop = make_loop();
  Slab<Connection> connections;
  unit::FakeOwner owner;
  Drain drain;
  int calls = 0;
  uint32_t closed = 0;
  uint64_t ended_ns = 0;
};

}  // namespace

TEST("a drain closes evenly: at no time more than the elapsed share") {
  constexpr uint32_t kCount = 1000;
  constexpr uint32_t kMs = 500;
  Drained drained;
  for (uint32_t index = 0; index < kCount; ++index) {
    drained.owner.open(static_cast<int>(index * 12));
  }
  uint64_t count = 0;
  bool is_even = true;
  const uint64_t start_ns = sys::monotonic_ns();
  drained.owner.on_close = [&](Connection*) {
    const uint64_t elapsed_ns = sys::monotonic_ns() - start_ns;
    is_even = is_even && ++count <= kCount * elapsed_ns / (kMs * kNsPerMs) + 1;
  };
  drained.drain.start(kMs);
  EXPECT(drained.is_over());
  EXPECT(is_even);
  EXPECT_EQUAL(drained.closed, kCount);
  EXPECT_EQUAL(drained.owner.closed.size(), kCount);
  EXPECT(drained.ended_ns - start_ns >= kMs * kNsPerMs);
}

TEST("a drain leaves blocked connections for last, and closes them when the time is up") {
  Drained drained;
  for (int fd = 0; fd < 20; ++fd) drained.owner.open(fd, 0, fd < 5);
  const uint64_t start_ns = sys::monotonic_ns();
  bool is_early = false;
  drained.owner.on_close = [&](Connection* connection) {
    if (!connection->is_blocked) return;
    is_early = is_early || sys::monotonic_ns() - start_ns < 200 * kNsPerMs;
  };
  drained.drain.start(200);
  EXPECT(drained.is_over());
  EXPECT(!is_early);
  EXPECT_EQUAL(drained.owner.closed.size(), 20U);
}

TEST("a drain with a duration of 0 closes everything at once, blocked connections too") {
  Drained drained;
  for (int fd = 0; fd < 20; ++fd) drained.owner.open(fd, 0, fd % 2 == 0);
  drained.drain.start(0);
  EXPECT(drained.is_over());
  EXPECT_EQUAL(drained.owner.closed.size(), 20U);
}

TEST("a drain without connections ends at once, with any duration") {
  Drained drained;
  const uint64_t start_ns = sys::monotonic_ns();
  drained.drain.start(60'000);
  EXPECT(drained.is_over());
  EXPECT(drained.ended_ns - start_ns < 1000 * kNsPerMs);
}

TEST("a second start of a drain is ignored") {
  Drained drained;
  for (int fd = 0; fd < 20; ++fd) drained.owner.open(fd);
  drained.drain.start(50);
  drained.drain.start(60'000);
  EXPECT(drained.is_over());
  unit::run_for(drained.loop.get(), 30);
  EXPECT_EQUAL(drained.calls, 1);
}

TEST("a departure that is stopped leaves the other connections, and may start again") {
  Drained drained;
  Drain departure(
      drained.loop.get(), &drained.connections, &drained.owner, CloseCause::kCutOff, nullptr);
  for (int fd = 0; fd < 20; ++fd) drained.owner.open(fd);
  drained.owner.on_close = [&](Connection*) { departure.stop(); };
  departure.start(100);
  EXPECT(unit::run_until(drained.loop.get(), [&] { return !drained.owner.closed.empty(); }));
  unit::run_for(drained.loop.get(), 30);
  EXPECT(drained.connections.size() > 0);
  drained.owner.on_close = nullptr;
  departure.start(0);
  EXPECT(unit::run_until(drained.loop.get(), [&] { return drained.connections.size() == 0; }));
  EXPECT_EQUAL(drained.calls, 0);
}

TEST("a drain continues when peers close connections faster") {
  Drained drained;
  for (int fd = 0; fd < 100; ++fd) drained.owner.open(fd);
  drained.drain.start(300);
  for (int fd = 0; fd < 90; ++fd) drained.connections.release(fd);
  EXPECT(drained.is_over());
  EXPECT_EQUAL(drained.owner.closed.size(), 10U);
}
