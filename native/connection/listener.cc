// Accepting, and failures of accept. See listener.h.
#include "connection/listener.h"

#include <algorithm>

#include "base/bounds.h"
#include "os/address.h"

namespace megacomet {

namespace {

/// Between two measurements of a wait. Accept pressure lasts for a second.
constexpr double kNoteSeconds = 0.02;

/// A batch of this size is a sign of accept pressure. A single peer may have waited for something
/// else: 18,000 answered polls that poll again take 0.2 s.
constexpr int kPressureBatch = 16;

/// Why the server rejects a peer that no limit of its address concerns.
Counter cause_of_rejection(const Admission& admission) {
  if (admission.is_door_closed()) return Counter::kRejectedDrainTotal;
  return admission.is_cut_off() ? Counter::kRejectedCutOffTotal : Counter::kRejectedFullTotal;
}

}  // namespace

Listener::Listener(const Parts& parts, int fd, Ownership ownership, uint8_t protocol, uint8_t flags)
    : parts_(parts),
      fd_(fd),
      ownership_(ownership),
      protocol_(protocol),
      flags_(flags),
      log_(parts.control, parts.counters, bounds::kLogIntervalMs) {
  ev_io_init(&watcher_, on_readable, fd, EV_READ);
  ev_set_priority(&watcher_, kPriorityListener);
  ev_timer_init(&timer_, on_timer, 0., 0.);
  watcher_.data = this;
  timer_.data = this;
}

Listener::~Listener() {
  ev_io_stop(parts_.loop, &watcher_);
  ev_timer_stop(parts_.loop, &timer_);
}

void Listener::watch(bool on) {
  if (is_finished_ || on == is_wanted_) return;
  is_wanted_ = on;
  is_stale_ = true;
  if (is_paused_) return;
  if (on) {
    ev_io_start(parts_.loop, &watcher_);
  } else {
    ev_io_stop(parts_.loop, &watcher_);
  }
}

void Listener::accept_next() {
  // Its priority is above that of connections (libev.h, rule 7).
  if (ev_is_active(&watcher_)) ev_feed_event(parts_.loop, &watcher_, EV_READ);
}

void Listener::drain() {
  if (is_finished_) return;
  const bool is_inherited = ownership_ == Ownership::kInherited;
  if (!is_inherited && parts_.transport->answers_rejected(protocol_)) return resume();
  if (!is_inherited && is_wanted_ && !is_paused_) {
    // Bounded, because peers may arrive as fast as they are accepted.
    accept_batch(bounds::kAcceptBatchMax * 64);
  }
  watch(false);
  resume();
  is_finished_ = true;
  // shutdown() ends the queue in every process that holds the socket, in the manager too.
  if (ownership_ == Ownership::kOwn) sys::shut_down(fd_);
}

void Listener::on_readable(struct ev_loop*, ev_io* watcher, int revents) {
  auto* self = static_cast<Listener*>(watcher->data);
  if ((revents & EV_ERROR) != 0) {
    // epoll_ctl failed and libev stopped the watcher: retry as after any other shortage.
    self->pause_for_shortage();
    self->log_rarely("cannot watch a listener; trying again", 0);
    return;
  }
  self->accept_batch(bounds::kAcceptBatchMax);
}

void Listener::accept_batch(int count_max) {
  first_waited_ms_ = 0;
  for (int count = 0; count < count_max; ++count) {
    if (count == kPressureBatch)
      parts_.accept_pressure->note_wait(first_waited_ms_, sys::monotonic_ns());
    if (accept_one() == Next::kStop) return;
  }
}

Listener::Next Listener::accept_one() {
  const Admission::Verdict verdict = parts_.admission->verdict();
  const bool waits = verdict == Admission::Verdict::kWait;
  if (waits && !has_waited_long()) {
    pause_for(bounds::kRoomWaitMs);
    parts_.admission->wait_for_room(this);
    return Next::kStop;
  }
  if (!waits) full_since_ns_ = 0;
  if (verdict != Admission::Verdict::kAccept && !parts_.transport->can_reject(protocol_)) {
    pause_for(bounds::kRejectedPeerWaitMs);
    return Next::kStop;
  }
  TokenBucket& tokens = parts_.admission->tokens();
  if (tokens.is_limited() && !tokens.take(sys::monotonic_ns())) {
    pause_for(std::max(bounds::kAcceptTokenWaitMinMs, tokens.wait_ms()));
    return Next::kStop;
  }
  sockaddr_storage peer;
  const bool needs_peer = parts_.limits->needs_peer();
  const sys::Accepted accepted = sys::accept(fd_, needs_peer ? &peer : nullptr);
  if (accepted.status != sys::AcceptStatus::kAccepted) {
    tokens.give_back();
    return handle(accepted);
  }
  shortage_pause_ms_ = 0;
  note_wait(accepted.fd);
  receive(accepted.fd, peer, verdict);
  return Next::kContinue;
}

/// Registers an accepted peer, or rejects it. `peer` is set if the limits need it.
void Listener::receive(int fd, const sockaddr_storage& peer, Admission::Verdict verdict) {
  uint32_t word = 0;
  if (!parts_.transport->fits(fd)) return reject(fd, Counter::kRejectedDescriptorsTotal);
  if (parts_.limits->needs_peer() && !admit(fd, peer, &word)) return;
  if (verdict == Admission::Verdict::kAccept && parts_.admission->enter()) {
    return parts_.transport->register_fd(fd, protocol_, word, flags_);
  }
  parts_.limits->give_back(word);
  // The manager gave this worker's room to another at this moment.
  if (!parts_.transport->can_reject(protocol_)) return reject(fd, Counter::kRejectedFullTotal);
  parts_.transport->reject(fd, protocol_, Rejection::kServer, {}, flags_);
  count_rejected(cause_of_rejection(*parts_.admission));
}

/// Whether the limits of addresses allow a peer; else it is rejected.
bool Listener::admit(int fd, const sockaddr_storage& peer, uint32_t* word) {
  const bool has_header = (flags_ & listener_flag::kProxyHeader) != 0;
  const Allowance allowance = parts_.limits->admit(peer, has_header, word);
  if (allowance == Allowance::kGranted) return true;
  if (allowance == Allowance::kUntrusted) {
    reject(fd, Counter::kRejectedUntrustedTotal);
    return false;
  }
  parts_.transport->reject(fd, protocol_, rejection_of(allowance), {}, flags_);
  count_rejected(Counter::kRejectedLimitedTotal);
  return false;
}

/// Measures the wait of the first peer of a batch, which waited longest. Rarely, because the system
/// call takes a microsecond. Not after a pause, which is not a sign of a busy loop.
void Listener::note_wait(int fd) {
  const ev_tstamp now_s = ev_now(parts_.loop);
  if (is_stale_ || now_s < note_after_s_) return;
  note_after_s_ = now_s + kNoteSeconds;
  first_waited_ms_ = sys::waited_ms(fd);
}

/// Whether the worker has been full for so long that new peers are steered away, and those in the
/// queue would wait until a client leaves: they are rejected, and reconnect elsewhere.
bool Listener::has_waited_long() {
  const uint64_t now_ns = sys::monotonic_ns();
  if (full_since_ns_ == 0) full_since_ns_ = now_ns;
  return now_ns - full_since_ns_ >= uint64_t{bounds::kRoomWaitMs} * 1'000'000;
}

Listener::Next Listener::handle(const sys::Accepted& accepted) {
  switch (accepted.status) {
    case sys::AcceptStatus::kAccepted:
      return Next::kStop;
    case sys::AcceptStatus::kEmpty:
      is_stale_ = false;
      return Next::kStop;
    case sys::AcceptStatus::kTransient:
      parts_.counters->add(Counter::kAcceptFailedTotal);
      parts_.counters->add(Counter::kAcceptFailedTransientTotal);
      return Next::kContinue;
    case sys::AcceptStatus::kOutOfDescriptors:
      shed();
      return fail(Counter::kAcceptFailedEmfileTotal, accepted);
    case sys::AcceptStatus::kOutOfFiles:
      return fail(Counter::kAcceptFailedEnfileTotal, accepted);
    case sys::AcceptStatus::kOutOfBuffers:
      return fail(Counter::kAcceptFailedEnobufsTotal, accepted);
    case sys::AcceptStatus::kOutOfMemory:
      return fail(Counter::kAcceptFailedEnomemTotal, accepted);
    case sys::AcceptStatus::kShutDown:
      // Another process called shutdown(): a drain has begun. This is not an error.
      is_finished_ = true;
      ev_io_stop(parts_.loop, &watcher_);
      return Next::kStop;
    case sys::AcceptStatus::kForbidden:
    case sys::AcceptStatus::kBroken:
      break;
  }
  return fail(Counter::kAcceptFailedOtherTotal, accepted);
}

Listener::Next Listener::fail(Counter cause, const sys::Accepted& accepted) {
  // The peer stays in the kernel's queue, so a level-triggered watcher would fire again at once and
  // this worker would spin. It pauses until the next close, or for a time.
  parts_.counters->add(Counter::kAcceptFailedTotal);
  parts_.counters->add(cause);
  pause_for_shortage();
  parts_.admission->wait_for_room(this);
  log_rarely("accept failed; listener paused", accepted.error);
  return Next::kStop;
}

void Listener::reject(int fd, Counter cause) {
  sys::reset(fd);
  count_rejected(cause);
}

void Listener::count_rejected(Counter cause) {
  parts_.counters->add(Counter::kRejectedTotal);
  parts_.counters->add(cause);
}

void Listener::shed() {
  for (int count = 0; count < bounds::kShedBatchMax; ++count) {
    if (!parts_.admission->lend_spare()) return;
    const sys::Accepted accepted = sys::accept(fd_);
    if (accepted.status == sys::AcceptStatus::kAccepted) {
      reject(accepted.fd, Counter::kRejectedDescriptorsTotal);
    }
    parts_.admission->restore_spare();
    if (accepted.status != sys::AcceptStatus::kAccepted) return;
  }
}

void Listener::pause() {
  if (is_paused_) return;
  is_paused_ = is_stale_ = true;
  ev_io_stop(parts_.loop, &watcher_);
  parts_.counters->add(Counter::kAcceptPausedTotal);
  parts_.counters->add(Counter::kListenersPaused);
}

void Listener::pause_for(uint32_t ms) {
  pause();
  ev_timer_stop(parts_.loop, &timer_);
  // libev measures from the start of this loop iteration.
  ev_timer_set(&timer_, ms / 1000., 0.);
  ev_timer_start(parts_.loop, &timer_);
}

void Listener::pause_for_shortage() {
  shortage_pause_ms_ = shortage_pause_ms_ == 0
                           ? bounds::kAcceptPauseMinMs
                           : std::min(shortage_pause_ms_ * 2, bounds::kAcceptPauseMaxMs);
  pause_for(shortage_pause_ms_);
}

void Listener::on_timer(struct ev_loop*, ev_timer* timer, int) {
  static_cast<Listener*>(timer->data)->resume();
}

void Listener::on_room() {
  resume();
}

void Listener::resume() {
  if (!is_paused_) return;
  is_paused_ = false;
  ev_timer_stop(parts_.loop, &timer_);
  parts_.counters->subtract(Counter::kListenersPaused);
  if (is_wanted_ && !is_finished_) ev_io_start(parts_.loop, &watcher_);
}

void Listener::log_rarely(const char* message, int error) {
  if (log_.is_due()) log_.write(LogLevel::kWarn, message, error);
}

}  // namespace megacomet
