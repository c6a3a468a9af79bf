// Limits on new connections. See admission.h.
#include "connection/admission.h"

#include <algorithm>
#include <utility>

#include "base/bounds.h"
#include "os/sys.h"

namespace megacomet {

Admission::~Admission() {
  if (spare_ >= 0) sys::close(spare_);
}

void Admission::attach(Block* block) {
  block_ = block;
  counters_.attach(block);
}

void Admission::set_limits(uint32_t connections_max, uint32_t rate_milli) {
  connections_max_ = connections_max;
  tokens_.set_rate(rate_milli);
  counters_.set(Counter::kConnectionsMax, connections_max);
  // A listener that waits at the old limit would wait for a close, and idle peers do not close.
  wake_waiters();
}

void Admission::set_server_full(bool is_full) {
  is_server_full_ = is_full;
  wake_waiters();
}

void Admission::set_cut_off(bool is_cut_off) {
  is_cut_off_ = is_cut_off;
  wake_waiters();
}

Admission::Verdict Admission::verdict() const {
  if (is_door_closed_ || is_cut_off_) return Verdict::kReject;
  const uint32_t allowance = block_->allowance.load(std::memory_order_relaxed);
  if (connections_ < std::min(connections_max_, allowance)) return Verdict::kAccept;
  return is_server_full_ ? Verdict::kReject : Verdict::kWait;
}

bool Admission::enter() {
  if (connections_ >= block_->allowance.load(std::memory_order_relaxed)) return false;
  // The count first, then the allowance again; Segment::grant() does the opposite.
  counters_.set_in_order(Counter::kConnections, connections_ + 1);
  if (connections_ >= block_->allowance.load(std::memory_order_seq_cst)) {
    counters_.set(Counter::kConnections, connections_);
    return false;
  }
  ++connections_;
  const bool is_near_capacity =
      static_cast<uint64_t>(connections_) * 100 >=
      static_cast<uint64_t>(connections_max_) * bounds::kNearCapacityPercent;
  if (is_near_capacity && !is_near_capacity_) has_report_ = true;
  is_near_capacity_ = is_near_capacity;
  return true;
}

void Admission::leave() {
  --connections_;
  // The manager gives the room to any worker.
  if (is_server_full_) has_report_ = true;
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

bool Admission::take_report() {
  return std::exchange(has_report_, false);
}

void Admission::wait_for_room(RoomWaiter* waiter) {
  if (verdict() == Verdict::kWait) has_report_ = true;
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
