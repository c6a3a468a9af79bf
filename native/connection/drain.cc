// Closing at an even pace. See drain.h.
#include "connection/drain.h"

#include <algorithm>

#include "base/bounds.h"
#include "os/sys.h"

namespace megacomet {

namespace {

/// After the time is up, for final responses that slow peers did not read at once. The manager
/// kills the worker after two seconds.
constexpr uint64_t kFinalResponseNs = 1'000'000'000;

/// The usual delay of a reconnect, spread over a longer time.
uint32_t spread_retry_ms(const Services& services) {
  const uint32_t retry_ms = services.rules->retry_ms;
  return retry_ms + services.random->below(bounds::kDrainRetryFactor * retry_ms);
}

}  // namespace

uint32_t drain_left_ms(const Services& services) {
  const uint64_t end_ns = services.drain_ends_ns;
  return static_cast<uint32_t>((end_ns - std::min(end_ns, sys::monotonic_ns())) / 1'000'000);
}

std::string_view departure_sentence(CloseCause cause) {
  return cause == CloseCause::kDrain ? kShuttingDown : kCutOff;
}

uint32_t reconnect_in_departure_ms(const Services& services) {
  const uint32_t wait_ms = spread_retry_ms(services);
  // A server that is cut off goes on listening.
  if (services.drain_ends_ns == 0) return wait_ms;
  return wait_ms < drain_left_ms(services) ? wait_ms : wait_ms + bounds::kRestartMs;
}

uint32_t return_after_drain_ms(const Services& services) {
  return drain_left_ms(services) + bounds::kRestartMs + spread_retry_ms(services);
}

uint32_t retry_cut_off_ms(const Services& services) {
  return spread_retry_ms(services);
}

Drain::Drain(struct ev_loop* loop,
             Slab<Connection>* connections,
             ConnectionOwner* owner,
             CloseCause cause,
             DrainHandler* handler)
    : loop_(loop), connections_(connections), owner_(owner), cause_(cause), handler_(handler) {
  ev_timer_init(&timer_, on_tick, 0., bounds::kDrainTickSeconds);
  timer_.data = this;
}

Drain::~Drain() {
  ev_timer_stop(loop_, &timer_);
}

void Drain::start(uint32_t duration_ms) {
  if (started_ns_ != 0) return;
  started_ns_ = sys::monotonic_ns();
  duration_ns_ = static_cast<uint64_t>(duration_ms) * 1'000'000;
  total_ = connections_->size();
  closed_ = 0;
  ev_timer_start(loop_, &timer_);
}

void Drain::stop() {
  ev_timer_stop(loop_, &timer_);
  started_ns_ = 0;
}

void Drain::on_tick(struct ev_loop*, ev_timer* timer, int) {
  static_cast<Drain*>(timer->data)->tick();
}

void Drain::tick() {
  const uint64_t elapsed_ns = sys::monotonic_ns() - started_ns_;
  const bool is_over = elapsed_ns >= duration_ns_;
  const uint64_t left =
      is_over ? 0 : total_ - static_cast<uint64_t>(total_) * elapsed_ns / duration_ns_;
  const bool is_late = elapsed_ns >= duration_ns_ + kFinalResponseNs;
  const Pass pass = is_late ? Pass::kCut : is_over ? Pass::kAll : Pass::kIdle;
  close_down_to(static_cast<uint32_t>(left), pass);
  if (connections_->size() > 0) return;
  ev_timer_stop(loop_, &timer_);
  if (handler_ != nullptr) handler_->on_drained(closed_);
}

void Drain::close_down_to(uint32_t left, Pass pass) {
  const auto close_one = [&](Connection& connection) {
    if (connections_->size() <= left) return false;
    if (connection.state == ConnectionState::kFree) return true;
    const uint32_t before = connections_->size();
    if (pass == Pass::kCut) {
      owner_->close(&connection, cause_);
    } else if (pass == Pass::kAll || !owner_->would_lose_output(connection)) {
      // It may queue a final response; then it closes with the last byte.
      owner_->disconnect(&connection, cause_, {});
    }
    closed_ += before - connections_->size();
    return true;
  };
  const uint32_t capacity = connections_->capacity();
  // From the position of the last tick to the end, then from the start.
  position_ = connections_->visit(position_, capacity, close_one);
  if (position_ == capacity) position_ = connections_->visit(0, capacity, close_one);
  if (position_ == capacity) position_ = 0;
}

}  // namespace megacomet
