// Tests of the stats segment: its seals, the files that it rejects, and the counters of a worker
// that died.
#include "ipc/segment.h"

#include <string>

#include <fcntl.h>
#include <unistd.h>

#include "os/sys.h"
#include "support/unit.h"

using namespace megacomet;

namespace {

/// Changes the header of a segment. Returns whether the segment can still be opened.
template <typename Change>
bool opens_after(Change change) {
  Segment made;
  if (!made.create(2)) return false;
  auto* header = static_cast<Header*>(sys::map_shared(made.fd(), sizeof(Header)));
  change(header);
  sys::release_memory(header, sizeof(Header));
  Segment opened;
  return opened.open(::dup(made.fd()));
}

}  // namespace

TEST("a segment that was created can be opened, and both ends see the same values") {
  Segment made;
  if (!EXPECT(made.create(3))) return;
  Segment opened;
  if (!EXPECT(opened.open(::dup(made.fd())))) return;
  EXPECT_EQUAL(opened.slots(), 3U);
  Counters counters;
  counters.attach(&opened.block(2));
  counters.add(Counter::kAcceptedTotal, 5);
  counters.add(Counter::kAcceptedTotal);
  counters.subtract(Counter::kAcceptedTotal, 2);
  opened.block(1).heartbeat_ns.store(77);
  opened.block(0).lag[3].store(9);
  std::vector<uint64_t> copy(3 * kBlockWords);
  made.copy(copy.data());
  EXPECT_EQUAL(copy[2 * kBlockWords + 1 + static_cast<size_t>(Counter::kAcceptedTotal)], 4U);
  EXPECT_EQUAL(copy[kBlockWords], 77U);
  EXPECT_EQUAL(copy[1 + kCounterCount + 3], 9U);
}

TEST("a segment can neither grow nor shrink, nor be unsealed") {
  Segment segment;
  if (!EXPECT(segment.create(2))) return;
  EXPECT(::ftruncate(segment.fd(), 4096) != 0);
  EXPECT(::ftruncate(segment.fd(), 1 << 24) != 0);
  EXPECT(::fcntl(segment.fd(), F_ADD_SEALS, F_SEAL_WRITE) != 0);
}

TEST("a segment of another layout, kind or size is rejected") {
  EXPECT(opens_after([](Header*) {}));
  EXPECT(!opens_after([](Header* header) { header->layout_hash ^= 1; }));
  EXPECT(!opens_after([](Header* header) { header->magic ^= 1; }));
  EXPECT(!opens_after([](Header* header) { header->slots = 0; }));
  EXPECT(!opens_after([](Header* header) { header->slots = bounds::kSlotsMax + 1; }));
  // More slots than the file has: an access to them would raise SIGBUS.
  EXPECT(!opens_after([](Header* header) { header->slots = 3; }));
}

TEST("a descriptor that is not a segment is rejected") {
  for (const char* path : {"/dev/null", "/proc/self/maps"}) {
    Segment segment;
    EXPECT(!segment.open(::open(path, O_RDWR | O_CLOEXEC)));
  }
  Segment of_empty_file;
  EXPECT(!of_empty_file.open(sys::create_shared("empty", 0)));
  Segment of_zeros;
  EXPECT(!of_zeros.open(sys::create_shared("zeros", 65'536)));
  Segment of_nothing;
  EXPECT(!of_nothing.open(-1));
}

TEST("retiring a slot counts its connections as closed by the crash, and totals never fall") {
  Segment segment;
  if (!EXPECT(segment.create(2))) return;
  Counters counters;
  counters.attach(&segment.block(1));
  segment.shared().connections.store(10);
  counters.set(Counter::kAcceptedTotal, 100);
  counters.set(Counter::kClosedTotal, 93);
  counters.set(Counter::kConnections, 7);
  counters.set(Counter::kSendQueueBytes, 4000);
  counters.set(Counter::kListenersPaused, 1);
  segment.block(1).heartbeat_ns.store(5);
  segment.retire(1);
  EXPECT_EQUAL(counters.get(Counter::kAcceptedTotal), 100U);
  EXPECT_EQUAL(counters.get(Counter::kClosedTotal), 100U);
  EXPECT_EQUAL(counters.get(Counter::kClosedByCrashTotal), 7U);
  for (const Counter gauge :
       {Counter::kConnections, Counter::kSendQueueBytes, Counter::kListenersPaused}) {
    EXPECT_EQUAL(counters.get(gauge), 0U);
  }
  EXPECT_EQUAL(segment.shared().connections.load(), 3);
  EXPECT_EQUAL(segment.block(1).heartbeat_ns.load(), 0U);
  segment.retire(1);
  EXPECT_EQUAL(counters.get(Counter::kClosedTotal), 100U);
  EXPECT_EQUAL(segment.shared().connections.load(), 3);
}

TEST("after a death between two counts, accepted minus closed is still the number open") {
  for (const bool died_in_register : {true, false}) {
    Segment segment;
    if (!EXPECT(segment.create(1))) return;
    Counters counters;
    counters.attach(&segment.block(0));
    // A connection is counted as open and not yet as accepted; or as closed and still as open.
    segment.shared().connections.store(5);
    counters.set(Counter::kConnections, 5);
    counters.set(Counter::kAcceptedTotal, died_in_register ? 4 : 5);
    counters.set(Counter::kClosedTotal, died_in_register ? 0 : 1);
    segment.retire(0);
    EXPECT_EQUAL(counters.get(Counter::kClosedTotal), counters.get(Counter::kAcceptedTotal));
    EXPECT_EQUAL(counters.get(Counter::kClosedByCrashTotal), 4U);
    EXPECT_EQUAL(segment.shared().connections.load(), 0);
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
  EXPECT(unit::aborts([&] { (void)segment.block(2); }));
  EXPECT(unit::aborts([&] { (void)segment.create(2); }));
  EXPECT(unit::aborts([] { (void)Segment().create(bounds::kSlotsMax + 1); }));
}
