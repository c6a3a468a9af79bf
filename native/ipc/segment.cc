// Creates, checks, copies and reconciles the stats segment. See segment.h.
#include "ipc/segment.h"

#include "base/check.h"
#include "base/hash.h"
#include "os/sys.h"

namespace megacomet {

namespace {

constexpr uint64_t kMagic = 0x3154'454d'4f43'474dU;

constexpr CounterInfo kInfos[] = {
#define X(identifier, name, kind, help) {name, CounterKind::kind, help},
    MC_COUNTERS(X)
#undef X
};

size_t bytes_for(uint32_t slots) {
  return sizeof(Header) + sizeof(Shared) + static_cast<size_t>(slots) * sizeof(Block);
}

/// Adds a text and the zero byte that ends it.
uint64_t add_text(const char* text, uint64_t hash) {
  return fnv1a(uint8_t{0}, fnv1a(text, hash));
}

}  // namespace

const CounterInfo* counter_infos() {
  return kInfos;
}

uint64_t layout_hash() {
  uint64_t hash = kFnvStart;
  for (const CounterInfo& info : kInfos) {
    hash = add_text(info.name, hash);
    hash = add_text(info.kind == CounterKind::kGauge ? "gauge" : "total", hash);
  }
  return hash ^ kLagBuckets;
}

Segment::~Segment() {
  if (memory_ != nullptr) sys::release_memory(memory_, bytes_);
  if (fd_ >= 0) sys::close(fd_);
}

bool Segment::create(uint32_t slots) {
  MC_CHECK(memory_ == nullptr && slots > 0 && slots <= bounds::kSlotsMax);
  bytes_ = bytes_for(slots);
  fd_ = sys::create_shared("megacomet-stats", bytes_);
  if (fd_ < 0) return false;
  memory_ = sys::map_shared(fd_, bytes_);
  if (memory_ == nullptr) return false;
  *static_cast<Header*>(memory_) = Header{kMagic, layout_hash(), slots};
  return true;
}

bool Segment::open(int fd) {
  MC_CHECK(memory_ == nullptr);
  // To touch a page past the end of a file is SIGBUS.
  const size_t file_bytes = sys::file_bytes(fd);
  if (file_bytes < sizeof(Header)) return false;
  void* first = sys::map_shared(fd, sizeof(Header));
  if (first == nullptr) return false;
  const Header seen = *static_cast<const Header*>(first);
  sys::release_memory(first, sizeof(Header));
  if (seen.magic != kMagic || seen.layout_hash != layout_hash()) return false;
  if (seen.slots == 0 || seen.slots > bounds::kSlotsMax) return false;
  bytes_ = bytes_for(seen.slots);
  if (file_bytes != bytes_) return false;
  memory_ = sys::map_shared(fd, bytes_);
  if (memory_ == nullptr) return false;
  fd_ = fd;
  return true;
}

Block& Segment::block(uint32_t slot) {
  MC_CHECK(slot < slots());
  char* blocks = static_cast<char*>(memory_) + sizeof(Header) + sizeof(Shared);
  return reinterpret_cast<Block*>(blocks)[slot];
}

Shared& Segment::shared() {
  return *reinterpret_cast<Shared*>(static_cast<char*>(memory_) + sizeof(Header));
}

void Segment::copy(uint64_t* target) {
  for (uint32_t slot = 0; slot < slots(); ++slot) {
    const Block& source = block(slot);
    *target++ = source.heartbeat_ns.load(std::memory_order_acquire);
    for (const auto& value : source.counters) *target++ = value.load(std::memory_order_relaxed);
    for (const auto& value : source.lag) *target++ = value.load(std::memory_order_relaxed);
  }
}

void Segment::retire(uint32_t slot) {
  Counters counters;
  counters.attach(&block(slot));
  // Not the gauge: a worker that dies between two counts leaves it wrong by one.
  const uint64_t lost = counters.get(Counter::kAcceptedTotal) - counters.get(Counter::kClosedTotal);
  counters.add(Counter::kClosedTotal, lost);
  counters.add(Counter::kClosedByCrashTotal, lost);
  const auto entered = static_cast<int64_t>(counters.get(Counter::kConnections));
  shared().connections.fetch_sub(entered, std::memory_order_relaxed);
  for (size_t index = 0; index < kCounterCount; ++index) {
    if (kInfos[index].kind == CounterKind::kGauge) counters.set(static_cast<Counter>(index), 0);
  }
  block(slot).heartbeat_ns.store(0, std::memory_order_release);
}

}  // namespace megacomet
