// Creates, checks, copies and reconciles the blocks of the workers. See segment.h.
#include "ipc/segment.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/hash.h"
#include "os/sys.h"

namespace megacomet {

namespace {

/// No total of an honest worker reaches this: a link of 10 Gb/s takes 29 years.
constexpr uint64_t kTotalMax = uint64_t{1} << 60;
/// Bytes of memory, microseconds, connections.
constexpr uint64_t kGaugeMax = uint64_t{1} << 48;
/// The clocks of two cores may differ a little.
constexpr uint64_t kFutureNs = 1'000'000'000;
constexpr size_t kHeartbeatWord = 0;

constexpr CounterInfo kInfos[] = {
#define X(identifier, name, kind, help) {name, CounterKind::kind, help},
    MC_COUNTERS(X)
#undef X
};

constexpr size_t word_of(Counter counter) {
  return 1 + static_cast<size_t>(counter);
}

const char* field_of(size_t word) {
  if (word == kHeartbeatWord) return "heartbeat_ns";
  return word <= kCounterCount ? kInfos[word - 1].name : "lag";
}

bool is_gauge(size_t word) {
  return word != kHeartbeatWord && word <= kCounterCount &&
         kInfos[word - 1].kind == CounterKind::kGauge;
}

std::atomic<uint64_t>& cell_of(Block& block, size_t word) {
  if (word == kHeartbeatWord) return block.heartbeat_ns;
  const size_t index = word - 1;
  return index < kCounterCount ? block.counters[index] : block.lag[index - kCounterCount];
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
  if (shared_fd_ >= 0) sys::close(shared_fd_);
}

bool Segment::create(uint32_t slots) {
  MC_CHECK(slots_.empty() && slots > 0 && slots <= bounds::kSlotsMax);
  shared_fd_ = sys::create_shared("megacomet-shared", SharedPage<WorkersMemory>::kBytes);
  if (shared_fd_ < 0) return false;
  slots_ = std::vector<Slot>(slots);
  return true;
}

bool Segment::clear_limits(uint32_t set) {
  MC_CHECK(set < 2);
  const size_t start = offsetof(WorkersMemory, limits) + set * sizeof(LimitTables);
  return sys::forget_bytes(shared_fd_, start, sizeof(LimitTables));
}

Segment::Slot& Segment::at(uint32_t slot) {
  MC_CHECK(slot < slots());
  return slots_[slot];
}

int Segment::renew(uint32_t slot) {
  Slot& target = at(slot);
  target.page.reset();
  target.allowance = 0;
  target.is_faulty = false;
  if (!target.page.create("megacomet-worker")) return -1;
  Block& block = *target.page.get();
  block.layout_hash = layout_hash();
  for (size_t word = kHeartbeatWord + 1; word < kBlockWords; ++word) {
    cell_of(block, word).store(target.believed[word], std::memory_order_relaxed);
  }
  return target.page.fd();
}

void Segment::end_renewal(uint32_t slot) {
  at(slot).page.close_descriptor();
}

/// Takes the values of a block, all or none.
void Segment::read(uint32_t index) {
  Slot& slot = at(index);
  if (!slot.page.is_mapped() || slot.is_faulty) return;
  uint64_t seen[kBlockWords];
  for (size_t word = 0; word < kBlockWords; ++word) {
    const uint64_t value = cell_of(*slot.page.get(), word).load(std::memory_order_acquire);
    uint64_t least = slot.believed[word];
    uint64_t most = kTotalMax;
    if (is_gauge(word)) {
      least = 0;
      most = kGaugeMax;
    }
    if (word == kHeartbeatWord) most = sys::monotonic_ns() + kFutureNs;
    // A worker counts a connection before it looks at its allowance again.
    if (word == word_of(Counter::kConnections)) most = uint64_t{slot.allowance} + 1;
    if (value < least || value > most) {
      slot.is_faulty = true;
      faults_.push_back({index, field_of(word), value});
      return;
    }
    seen[word] = value;
  }
  std::copy(seen, seen + kBlockWords, slot.believed);
}

void Segment::copy(uint64_t* target) {
  for (uint32_t index = 0; index < slots(); ++index) {
    read(index);
    const Slot& slot = at(index);
    target = std::copy(slot.believed, slot.believed + kBlockWords, target);
  }
}

std::vector<Fault> Segment::take_faults() {
  return std::exchange(faults_, {});
}

uint32_t Segment::grant(uint32_t slot, uint32_t allowance) {
  Slot& target = at(slot);
  if (!target.page.is_mapped()) return 0;
  Block& block = *target.page.get();
  block.allowance.store(allowance, std::memory_order_seq_cst);
  const uint64_t open = block.counters[static_cast<size_t>(Counter::kConnections)].load();
  const auto kept = static_cast<uint32_t>(std::min<uint64_t>(open, target.allowance));
  target.allowance = std::max(allowance, kept);
  if (kept > allowance) block.allowance.store(kept, std::memory_order_seq_cst);
  return target.allowance;
}

void Segment::retire(uint32_t slot) {
  read(slot);
  Slot& target = at(slot);
  uint64_t& accepted = target.believed[word_of(Counter::kAcceptedTotal)];
  uint64_t& closed = target.believed[word_of(Counter::kClosedTotal)];
  // Not the gauge: a worker that dies between two counts leaves it wrong by one.
  const uint64_t lost = accepted > closed ? accepted - closed : 0;
  target.believed[word_of(Counter::kClosedByCrashTotal)] +=
      std::min<uint64_t>(lost, uint64_t{target.allowance} + 1);
  accepted = closed = std::max(accepted, closed);
  for (size_t word = 0; word < kBlockWords; ++word) {
    if (is_gauge(word)) target.believed[word] = 0;
  }
  target.believed[kHeartbeatWord] = 0;
  target.allowance = 0;
  target.page.reset();
}

}  // namespace megacomet
