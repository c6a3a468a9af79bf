// Tests of the stats segment: its seals, the files that are rejected, the values that are not
// believed, and the counters of a worker that died.
#include "ipc/segment.h"

#include <string>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include "os/sys.h"
#include "support/unit.h"

using namespace megacomet;

namespace {

/// A segment, and the block of a worker as the worker maps it.
struct Mapped {
  explicit Mapped(uint32_t allowance = 100) {
    EXPECT(segment.create(2));
    renew(allowance);
  }
  void renew(uint32_t allowance = 100) {
    block.reset();
    EXPECT(block.open(::dup(segment.renew(1))));
    segment.end_renewal(1);
    EXPECT_EQUAL(segment.grant(1, allowance), allowance);
    counters.attach(block.get());
  }
  [[nodiscard]] uint64_t believed(size_t word) {
    std::vector<uint64_t> copy(2 * kBlockWords);
    segment.copy(copy.data());
    return copy[kBlockWords + word];
  }
  [[nodiscard]] uint64_t believed(Counter counter) {
    return believed(1 + static_cast<size_t>(counter));
  }
  Segment segment;
  SharedPage<Block> block;
  Counters counters;
};

}  // namespace

TEST("the manager sees the values that a worker writes") {
  Mapped mapped;
  mapped.counters.add(Counter::kAcceptedTotal, 5);
  mapped.counters.add(Counter::kSessions, 3);
  mapped.counters.subtract(Counter::kSessions, 2);
  mapped.block->heartbeat_ns = 77;
  mapped.block->lag[3] = 9;
  EXPECT_EQUAL(mapped.believed(Counter::kAcceptedTotal), 5U);
  EXPECT_EQUAL(mapped.believed(Counter::kSessions), 1U);
  EXPECT_EQUAL(mapped.believed(size_t{0}), 77U);
  EXPECT_EQUAL(mapped.believed(1 + kCounterCount + 3), 9U);
  EXPECT(mapped.segment.take_faults().empty());
}

TEST("a worker's block can neither grow nor shrink, nor be unsealed") {
  Segment segment;
  if (!EXPECT(segment.create(1))) return;
  for (const int fd : {segment.renew(0), segment.shared_fd()}) {
    EXPECT(::ftruncate(fd, 0) != 0);
    EXPECT(::ftruncate(fd, 1 << 28) != 0);
    EXPECT(::fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) != 0);
  }
}

TEST("a descriptor that is not a page is rejected") {
  for (const char* path : {"/dev/null", "/proc/self/maps"}) {
    const int fd = ::open(path, O_RDWR | O_CLOEXEC);
    SharedPage<Block> page;
    EXPECT(!page.open(fd));
    if (fd >= 0) ::close(fd);
  }
  for (const size_t bytes : {size_t{0}, kSharedPageBytes - 1, kSharedPageBytes + 1}) {
    const int fd = sys::create_shared("other", bytes);
    SharedPage<Block> page;
    EXPECT(!page.open(fd));
    ::close(fd);
  }
  SharedPage<Block> of_nothing;
  EXPECT(!of_nothing.open(-1));
}

TEST("an impossible value is a fault of its worker alone, and is not believed") {
  struct Case {
    const char* field;
    void (*write)(Block* block);
  };
  static const auto set = [](Block* block, Counter counter, uint64_t value) {
    block->counters[static_cast<size_t>(counter)] = value;
  };
  const Case cases[] = {
      {"heartbeat_ns", [](Block* block) { block->heartbeat_ns = UINT64_MAX; }},
      {"heartbeat_ns", [](Block* block) { block->heartbeat_ns = 1; }},
      {"connections", [](Block* block) { set(block, Counter::kConnections, 102); }},
      {"connections", [](Block* block) { set(block, Counter::kConnections, UINT64_MAX); }},
      {"accepted_total", [](Block* block) { set(block, Counter::kAcceptedTotal, 6); }},
      {"accepted_total", [](Block* block) { set(block, Counter::kAcceptedTotal, UINT64_MAX); }},
      {"send_queue_bytes", [](Block* block) { set(block, Counter::kSendQueueBytes, UINT64_MAX); }},
      {"lag", [](Block* block) { block->lag[0] = 0; }},
  };
  for (const Case& each : cases) {
    Mapped mapped;
    mapped.block->heartbeat_ns = 50;
    mapped.block->lag[0] = 3;
    mapped.counters.set(Counter::kAcceptedTotal, 7);
    mapped.counters.set(Counter::kConnections, 7);
    EXPECT_EQUAL(mapped.believed(Counter::kAcceptedTotal), 7U);
    each.write(mapped.block.get());
    EXPECT_EQUAL(mapped.believed(Counter::kAcceptedTotal), 7U);
    EXPECT_EQUAL(mapped.believed(Counter::kConnections), 7U);
    EXPECT_EQUAL(mapped.believed(size_t{0}), 50U);
    const std::vector<Fault> faults = mapped.segment.take_faults();
    if (!EXPECT_EQUAL(faults.size(), 1U)) continue;
    EXPECT_EQUAL(faults[0].slot, 1U);
    EXPECT(std::string(faults[0].field) == each.field);
    // The last believed values are reconciled, and the next worker begins with them.
    mapped.segment.retire(1);
    mapped.renew();
    EXPECT_EQUAL(mapped.counters.get(Counter::kAcceptedTotal), 7U);
    EXPECT_EQUAL(mapped.counters.get(Counter::kClosedByCrashTotal), 7U);
    EXPECT_EQUAL(mapped.counters.get(Counter::kConnections), 0U);
    EXPECT_EQUAL(mapped.believed(Counter::kConnections), 0U);
    EXPECT(mapped.segment.take_faults().empty());
  }
}

TEST("a process that a dead worker left behind cannot write the block of the next worker") {
  Mapped mapped;
  SharedPage<Block> old;
  EXPECT(old.open(::dup(mapped.segment.renew(1))));
  mapped.segment.retire(1);
  mapped.renew();
  old->heartbeat_ns = UINT64_MAX;
  EXPECT_EQUAL(mapped.believed(size_t{0}), 0U);
  EXPECT(mapped.segment.take_faults().empty());
}

TEST("retiring a slot counts its connections as closed by the crash, and totals never fall") {
  Mapped mapped;
  mapped.counters.set(Counter::kAcceptedTotal, 100);
  mapped.counters.set(Counter::kClosedTotal, 93);
  mapped.counters.set(Counter::kConnections, 7);
  mapped.counters.set(Counter::kSendQueueBytes, 4000);
  mapped.counters.set(Counter::kListenersPaused, 1);
  mapped.block->heartbeat_ns = 5;
  for (int count = 0; count < 2; ++count) {
    mapped.segment.retire(1);
    EXPECT_EQUAL(mapped.believed(Counter::kAcceptedTotal), 100U);
    EXPECT_EQUAL(mapped.believed(Counter::kClosedTotal), 100U);
    EXPECT_EQUAL(mapped.believed(Counter::kClosedByCrashTotal), 7U);
    for (const Counter gauge :
         {Counter::kConnections, Counter::kSendQueueBytes, Counter::kListenersPaused}) {
      EXPECT_EQUAL(mapped.believed(gauge), 0U);
    }
    EXPECT_EQUAL(mapped.believed(size_t{0}), 0U);
  }
}

TEST("after a death between two counts, accepted minus closed is still the number open") {
  for (const bool died_in_register : {true, false}) {
    Mapped mapped;
    // A connection is counted as open and not yet as accepted; or as closed and still as open.
    mapped.counters.set(Counter::kConnections, 5);
    mapped.counters.set(Counter::kAcceptedTotal, died_in_register ? 4 : 5);
    mapped.counters.set(Counter::kClosedTotal, died_in_register ? 0 : 1);
    mapped.segment.retire(1);
    EXPECT_EQUAL(mapped.believed(Counter::kClosedTotal), mapped.believed(Counter::kAcceptedTotal));
    EXPECT_EQUAL(mapped.believed(Counter::kClosedByCrashTotal), 4U);
  }
}

TEST("a dead worker's lie about its connections is bounded by its allowance") {
  for (const bool accepts_more : {true, false}) {
    Mapped mapped(10);
    mapped.counters.set(Counter::kAcceptedTotal, accepts_more ? 1'000'000 : 0);
    mapped.counters.set(Counter::kClosedTotal, accepts_more ? 0 : 1'000'000);
    mapped.segment.retire(1);
    EXPECT_EQUAL(mapped.believed(Counter::kClosedTotal), 1'000'000U);
    EXPECT_EQUAL(mapped.believed(Counter::kAcceptedTotal), 1'000'000U);
    EXPECT_EQUAL(mapped.believed(Counter::kClosedByCrashTotal), accepts_more ? 11U : 0U);
  }
}

TEST("the hash of the layout is not zero, and always the same") {
  EXPECT(layout_hash() != 0);
  EXPECT_EQUAL(layout_hash(), layout_hash());
  EXPECT_EQUAL(std::string(counter_infos()[0].name) == "connections", true);
}

TEST("a segment aborts when it has no such slot, and when it is created twice") {
  Segment segment;
  if (!EXPECT(segment.create(2))) return;
  EXPECT(unit::aborts([&] { (void)segment.renew(2); }));
  EXPECT(unit::aborts([&] { (void)segment.create(2); }));
  EXPECT(unit::aborts([] { (void)Segment().create(bounds::kSlotsMax + 1); }));
}
