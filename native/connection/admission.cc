// Limits on new connections. See admission.h.
#include "connection/admission.h"

#include <utility>

#include "base/bounds.h"
#include "os/sys.h"

namespace megacomet {

Admission::~Admission() {
  if (spare_ >= 0) sys::close(spare_);
}

void Admission::attach(Segment* segment, uint32_t slot) {
  shared_ = &segment->shared();
  counters_.attach(&segment->block(slot));
}

void Admission::set_limits(uint32_t connections_max,
                           uint32_t server_connections_max,
                           uint32_t rate_milli) {
  connections_max_ = connections_max;
  server_connections_max_ = server_connections_max;
  tokens_.set_rate(rate_milli);
  counters_.set(Counter::kConnectionsMax, connections_max);
  // A listener that waits at the old limit would wait for a close, and idle peers do not close.
  wake_waiters();
}

Admission::Verdict Admission::verdict() const {
  if (is_door_closed_) return Verdict::kReject;
  // Only a full worker reads the shared total: every worker writes its cache line at every accept,
  // and enter() pays for that line already.
  if (connections_ < connections_max_) return Verdict::kAccept;
  const int64_t total = shared_->connections.load(std::memory_order_relaxed);
  return total >= static_cast<int64_t>(server_connections_max_) ? Verdict::kReject : Verdict::kWait;
}

bool Admission::enter() {
  const int64_t before = shared_->connections.fetch_add(1, std::memory_order_relaxed);
  if (before >= static_cast<int64_t>(server_connections_max_)) {
    shared_->connections.fetch_sub(1, std::memory_order_relaxed);
    return false;
  }
  ++connections_;
  counters_.set(Counter::kConnections, connections_);
  const bool is_near_capacity =
      static_cast<uint64_t>(connections_) * 100 >=
      static_cast<uint64_t>(connections_max_) * bounds::kNearCapacityPercent;
  if (is_near_capacity && !is_near_capacity_) near_capacity_unsent_ = true;
  is_near_capacity_ = is_near_capacity;
  return true;
}

void Admission::leave() {
  shared_->connections.fetch_sub(1, std::memory_order_relaxed);
  --connections_;
  counters_.set(Counter::kConnections, connections_);
  wake_waiters();
}

void Admission::wake_waiters() {
  if (waiters_.empty()) return;
  // Swapped first: a listener that reaches its limit again waits for the next close.
  std::vector<RoomWaiter*> waiters;
  waiters.swap(waiters_);
  for (RoomWaiter* waiter : waiters) waiter->on_room();
}

bool Admission::take_near_capacity() {
  return std::exchange(near_capacity_unsent_, false);
}

void Admission::wait_for_room(RoomWaiter* waiter) {
  for (const RoomWaiter* known : waiters_) {
    if (known == waiter) return;
  }
  waiters_.push_back(waiter);
}

bool Admission::lend_spare() {
  if (spare_ < 0) return false;
  sys::close(spare_);
  // Forgotten at once: a connection may soon have the number.
  spare_ = -1;
  return true;
}

void Admission::restore_spare() {
  if (spare_ < 0) spare_ = sys::open_spare();
}

}  // namespace megacomet
