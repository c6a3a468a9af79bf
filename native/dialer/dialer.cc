// Sockets and watchers of the load generator. See dialer.h.
#include "dialer/dialer.h"

#include <cerrno>
#include <utility>

#include "base/bounds.h"
#include "base/check.h"
#include "os/sys.h"

namespace megacomet {

namespace {

constexpr uint64_t kNsPerMs = 1'000'000;

/// Interval of the checks for connections past their time limit.
constexpr uint64_t kExpireNs = 1000 * kNsPerMs;

uint32_t now_us() {
  return static_cast<uint32_t>(sys::monotonic_ns() / 1000);
}

}  // namespace

Dialer::Dialer(struct ev_loop* loop, Control* control) : loop_(loop), control_(control) {
  ev_prepare_init(&pump_, on_pump);
  ev_idle_init(&idle_, on_idle);
  ev_timer_init(&progress_, on_progress, bounds::kProgressSeconds, bounds::kProgressSeconds);
  ev_timer_init(&wake_, on_wake, 0., 0.);
  pump_.data = progress_.data = this;
}

Dialer::~Dialer() {
  ev_prepare_stop(loop_, &pump_);
  ev_idle_stop(loop_, &idle_);
  ev_timer_stop(loop_, &progress_);
  ev_timer_stop(loop_, &wake_);
}

// ---- Phases

const char* Dialer::dial(const frame::Dial& order, uint32_t descriptors_taken) {
  const char* error = pool_.configure(order);
  if (error != nullptr) return error;
  const uint32_t capacity = order.connections + descriptors_taken + bounds::kDescriptorReserve;
  if (!connections_.map(capacity) || !tls_.reserve(capacity) ||
      (subscribers_.is_on() && !subscribers_.reserve(capacity, order.connections))) {
    return "no address space for the connection records";
  }
  sys::prepare_descriptor_table(capacity);
  timeout_us_ = order.connect_timeout_s * 1'000'000U;
  buffer_.resize(bounds::kReadBytesMax);
  begin(DialPhase::kOpen);
  return nullptr;
}

void Dialer::verify(const frame::Verify& order) {
  abandon();
  timeout_us_ = order.timeout_ms * 1000U;
  echo_.begin_verify();
  begin(DialPhase::kVerify);
}

void Dialer::exchange(const frame::Exchange& order) {
  abandon();
  const uint64_t ends_ns = sys::monotonic_ns() + uint64_t{order.duration_ms} * kNsPerMs;
  echo_.begin_exchange(order.message_bytes, ends_ns);
  begin(DialPhase::kExchange);
  uint32_t left = order.connections;
  connections_.visit(0, connections_.capacity(), [&](Dialed& dialed) {
    if (left == 0) return false;
    if (dialed.state != DialState::kIdle) return true;
    --left;
    begin_first_message(&dialed);
    return true;
  });
  exchange_began_us_ = now_us();
}

/// Closes the connections that still wait. Otherwise a late echo of this phase would count as an
/// echo of the next phase.
void Dialer::abandon() {
  if (pool_.in_flight() == 0 && echo_.waiting() == 0) return;
  connections_.visit(0, connections_.capacity(), [this](Dialed& dialed) {
    if (dialed.is_waiting()) close(&dialed, ETIMEDOUT);
    return true;
  });
}

bool Dialer::reconnect(const frame::Reconnect& order) {
  if (report_.phase() != DialPhase::kNone || !subscribers_.is_on()) return false;
  connections_.visit(0, connections_.capacity(), [this](Dialed& dialed) {
    if (dialed.state == DialState::kFree) return true;
    const int fd = dialed.watcher.fd;
    ev_io_stop(loop_, &dialed.watcher);
    connections_.release(fd);
    subscribers_.close(fd);
    tls_.forget(fd);
    // An orderly close would keep the port in TIME_WAIT for a minute, and ports would run out.
    sys::reset(fd);
    return true;
  });
  subscribers_.reconnect(order.epoch);
  pool_.restart();
  begin(DialPhase::kOpen);
  return true;
}

void Dialer::gather(const frame::Gather& order) {
  begin(DialPhase::kGather);
  DeliveryTimes& times = subscribers_.delivery_times();
  for (const Delivery& delivery : times.all()) control_->send(report_of(delivery));
  if (order.forgets != 0) times.clear();
  finish();
}

void Dialer::begin(DialPhase phase) {
  report_.begin(phase, sys::monotonic_ns());
  position_ = 0;
  ev_prepare_start(loop_, &pump_);
  ev_timer_again(loop_, &progress_);
}

void Dialer::finish() {
  ev_idle_stop(loop_, &idle_);
  ev_timer_stop(loop_, &wake_);
  ev_prepare_stop(loop_, &pump_);
  // The heap keeps the memory of all handshakes that were under way together.
  if (tls_.is_on() && report_.phase() == DialPhase::kOpen) sys::trim_heap();
  control_->send(report_.latency());
  report(true);
  report_.end();
}

void Dialer::report(bool is_finished) {
  if (report_.has_new_causes()) control_->send(report_.failures());
  control_->send(report_.progress(pool_, subscribers_, is_finished, sys::monotonic_ns()));
}

void Dialer::on_progress(struct ev_loop*, ev_timer* timer, int) {
  auto* self = static_cast<Dialer*>(timer->data);
  const bool is_running = self->report_.phase() != DialPhase::kNone;
  if (is_running || self->report_.has_news(self->subscribers_)) self->report(false);
  self->expire(sys::monotonic_ns());
  self->pool_.release_retries();
  self->resume_polls();
}

void Dialer::resume_polls() {
  const std::vector<int> resting = std::move(resting_);
  resting_.clear();
  for (const int fd : resting) {
    Dialed* dialed = connections_.at(fd);
    if (dialed->state != DialState::kResting) continue;
    dialed->state = DialState::kIdle;
    (void)send_request(dialed, subscribers_.next_poll(fd));
  }
}

void Dialer::on_pump(struct ev_loop*, ev_prepare* watcher, int) {
  static_cast<Dialer*>(watcher->data)->pump();
}

void Dialer::pump() {
  switch (report_.phase()) {
    case DialPhase::kNone:
    case DialPhase::kGather:
      return;
    case DialPhase::kOpen:
      return pump_open();
    case DialPhase::kVerify:
      return pump_verify();
    case DialPhase::kExchange:
      if (!echo_.is_exchanging(sys::monotonic_ns())) end_exchange();
      return;
  }
}

/// A connection whose first message still has no echo was not served at all.
void Dialer::end_exchange() {
  connections_.visit(0, connections_.capacity(), [this](Dialed& dialed) {
    const bool is_first = static_cast<int32_t>(dialed.began_us - exchange_began_us_) <= 0;
    if (dialed.state == DialState::kAwaitingEcho && is_first) report_.count_silent();
    return true;
  });
  finish();
}

void Dialer::pump_open() {
  ev_idle_stop(loop_, &idle_);
  for (uint32_t count = 0; count < bounds::kDialBatchMax; ++count) {
    const DialStep step = pool_.next(sys::monotonic_ns());
    switch (step.action) {
      case DialStep::Action::kOpen:
        open(step.index, step.due_ns);
        break;
      case DialStep::Action::kWait:
        ev_timer_stop(loop_, &wake_);
        ev_timer_set(&wake_, step.wait_ms / 1000., 0.);
        ev_timer_start(loop_, &wake_);
        return;
      case DialStep::Action::kFinished:
        return finish();
      case DialStep::Action::kFull:
      case DialStep::Action::kPending:
        return;
    }
  }
  // More connections have to open: an idle watcher keeps the loop from blocking, and still serves
  // events.
  ev_idle_start(loop_, &idle_);
}

void Dialer::pump_between_events() {
  const bool is_opening = report_.phase() == DialPhase::kOpen;
  if (is_opening && ++events_ % bounds::kDialEvents == 0) pump_open();
}

void Dialer::pump_verify() {
  // visit() visits one record before it stops, so a full load must not call it.
  if (!echo_.is_full()) {
    position_ = connections_.visit(position_, connections_.capacity(), [this](Dialed& dialed) {
      if (dialed.state == DialState::kIdle) begin_first_message(&dialed);
      return !echo_.is_full();
    });
  }
  if (position_ == connections_.capacity() && echo_.waiting() == 0) finish();
}

/// Visits every record, most of which are not in the CPU's caches. So it runs once a second: time
/// limits are in seconds.
void Dialer::expire(uint64_t now_ns) {
  const bool is_waiting = pool_.in_flight() > 0 || echo_.waiting() > 0;
  const bool has_limit = report_.phase() != DialPhase::kExchange;
  if (!is_waiting || !has_limit || now_ns < expire_after_ns_) return;
  expire_after_ns_ = now_ns + kExpireNs;
  const uint32_t now = now_us();
  connections_.visit(0, connections_.capacity(), [this, now](Dialed& dialed) {
    const bool is_late = now - dialed.began_us > timeout_us_;
    if (is_late && dialed.is_waiting()) close(&dialed, ETIMEDOUT);
    return true;
  });
}

// ---- Opening

void Dialer::open(uint32_t index, uint64_t due_ns) {
  const Address& source = pool_.source(index);
  const Address& target = pool_.target(index);
  const int fd = sys::open_dialing_socket(source.get(), source.bytes);
  if (fd < 0) {
    report_.count_failure(errno);
    return pool_.failed(index);
  }
  MC_CHECK(static_cast<uint32_t>(fd) < connections_.capacity());
  Dialed* dialed = connections_.occupy(fd);
  dialed->state = DialState::kConnecting;
  dialed->began_us = now_us();
  dialed->sent = pool_.target_index(index);
  dialed->received = static_cast<uint32_t>(due_ns / 1000);
  if (subscribers_.is_on()) subscribers_.open(fd, index);
  ev_io_init(&dialed->watcher, on_event, fd, EV_WRITE);
  dialed->watcher.data = this;
  const sys::IoResult result = sys::connect(fd, target.get(), target.bytes);
  if (result.status == sys::IoStatus::kFailed) {
    close(dialed, result.error);
  } else if (result.status == sys::IoStatus::kDone) {
    on_connected(dialed);
  } else if (!try_first_request(dialed)) {
    ev_io_start(loop_, &dialed->watcher);
  }
}

void Dialer::on_connected(Dialed* dialed) {
  watch(dialed, EV_READ);
  if (!tls_.is_on()) return on_secured(dialed);
  dialed->state = DialState::kShaking;
  on_step(dialed, tls_.begin(dialed->watcher.fd, dialed->sent));
}

/// Sends the output of a step of the handshake, and goes on after the last step.
void Dialer::on_step(Dialed* dialed, DialedTls::Step step) {
  const int fd = dialed->watcher.fd;
  sys::IoResult sent{sys::IoStatus::kDone, 0, 0};
  if (!step.output.empty()) sent = sys::send(fd, step.output.data(), step.output.size());
  if (step.status == HandshakeStatus::kFailed) return close(dialed, cause_of(step.failure));
  // The send buffer of a new connection has room for a whole flight.
  if (sent.bytes != step.output.size()) {
    return close(dialed, sent.status == sys::IoStatus::kFailed ? sent.error : EAGAIN);
  }
  if (step.status == HandshakeStatus::kGoesOn) return;
  dialed->is_sealed = true;
  on_secured(dialed);
  if (step.rest.empty() || dialed->state == DialState::kFree) return;
  read_sealed(dialed, reinterpret_cast<uint8_t*>(step.rest.data()), step.rest.size());
}

/// The cause of a failure of TLS, which gets its name.
int Dialer::cause_of(const TlsFailure& failure) {
  const int base = failure.is_verification ? bounds::kTlsVerifyFailure : bounds::kTlsFailure;
  report_.name_cause(base + failure.code, failure.text);
  return base + failure.code;
}

void Dialer::on_secured(Dialed* dialed) {
  if (!subscribers_.is_on()) return on_open(dialed);
  const std::string& text = subscribers_.first_request(dialed->watcher.fd);
  if (send_request(dialed, text)) on_first_request(dialed);
}

/// Sends the first request without an event of the connect. Over loopback the handshake is complete
/// when connect() returns, although it returns EINPROGRESS. False without a connection yet.
bool Dialer::try_first_request(Dialed* dialed) {
  if (!subscribers_.is_on() || tls_.is_on()) return false;
  const std::string& text = subscribers_.first_request(dialed->watcher.fd);
  const sys::IoResult result = sys::send(dialed->watcher.fd, text.data(), text.size());
  if (result.status == sys::IoStatus::kAgain) return false;
  if (result.bytes != text.size()) {
    close(dialed, result.status == sys::IoStatus::kFailed ? result.error : EAGAIN);
    return true;
  }
  watch(dialed, EV_READ);
  on_first_request(dialed);
  return true;
}

void Dialer::on_first_request(Dialed* dialed) {
  dialed->state = DialState::kSubscribing;
  if (subscribers_.is_open_after_request(dialed->watcher.fd)) on_open(dialed);
}

void Dialer::on_open(Dialed* dialed) {
  pool_.opened();
  report_.count_opened(now_us() - dialed->received);
  dialed->state = DialState::kIdle;
}

// ---- Open connections

void Dialer::on_event(struct ev_loop*, ev_io* watcher, int revents) {
  auto* self = static_cast<Dialer*>(watcher->data);
  self->dispatch(reinterpret_cast<Dialed*>(watcher), revents);
  self->pump_between_events();
}

void Dialer::dispatch(Dialed* dialed, int revents) {
  // libev does not pass on the errno of epoll_ctl. The likely one is ENOSPC (max_user_watches).
  if ((revents & EV_ERROR) != 0) return close(dialed, ENOSPC);
  if (dialed->state == DialState::kConnecting) {
    const int error = sys::socket_error(dialed->watcher.fd);
    return error == 0 ? on_connected(dialed) : close(dialed, error);
  }
  // Writing may close the connection, so reading waits for the next loop iteration.
  const bool has_message = dialed->state == DialState::kAwaitingEcho;
  const bool has_unsent = has_message && (!echo_.is_sent(*dialed) || is_blocked(*dialed));
  if ((revents & EV_WRITE) != 0 && has_unsent) return write_message(dialed);
  read(dialed);
}

void Dialer::read(Dialed* dialed) {
  const sys::IoResult result = sys::receive(dialed->watcher.fd, buffer_.data(), buffer_.size());
  if (result.status == sys::IoStatus::kAgain) return;
  if (result.status != sys::IoStatus::kDone) {
    return close(dialed, result.status == sys::IoStatus::kEnd ? 0 : result.error);
  }
  if (dialed->is_sealed) return read_sealed(dialed, buffer_.data(), result.bytes);
  if (dialed->state == DialState::kShaking) {
    return on_step(dialed, tls_.shake(dialed->watcher.fd, buffer_.data(), result.bytes));
  }
  take_bytes(dialed, buffer_.data(), result.bytes);
}

/// Takes bytes of records.
void Dialer::read_sealed(Dialed* dialed, uint8_t* bytes, size_t size) {
  const int fd = dialed->watcher.fd;
  const DialedTls::Input input = tls_.read(fd, bytes, size, sys::monotonic_ns());
  if (input.size > 0) take_bytes(dialed, input.data, input.size);
  if (dialed->state == DialState::kFree) return;
  switch (input.end) {
    case TlsEnd::kNone:
      return;
    case TlsEnd::kClosed:
      return close(dialed, 0);
    case TlsEnd::kAlerted:
      return close(dialed, cause_of(DialedTls::failure_of(input.alert)));
    case TlsEnd::kBroken:
      tls_.send_alert(fd, input.alert);
      return close(dialed, EPROTO);
  }
}

void Dialer::take_bytes(Dialed* dialed, const uint8_t* bytes, size_t size) {
  if (subscribers_.is_on()) return read_subscriber(dialed, bytes, size);
  read_echo(dialed, bytes, size);
}

void Dialer::read_echo(Dialed* dialed, const uint8_t* bytes, size_t size) {
  const DialPhase phase = report_.phase();
  const bool is_loaded = phase == DialPhase::kVerify || phase == DialPhase::kExchange;
  if (dialed->state == DialState::kIdle && !is_loaded) {
    // A server that greets its clients still holds the connection; it fails the verification.
    dialed->has_spoken_first = true;
    return;
  }
  switch (echo_.add_received(dialed, bytes, size)) {
    case EchoResult::kPartial:
      return;
    case EchoResult::kWrong:
      if (dialed->state == DialState::kAwaitingEcho) report_.count_wrong_echo();
      return close(dialed, EBADMSG);
    case EchoResult::kComplete:
      report_.count_echo(now_us() - dialed->began_us);
      if (echo_.is_exchanging(sys::monotonic_ns())) begin_message(dialed);
      return;
  }
}

void Dialer::begin_first_message(Dialed* dialed) {
  report_.count_asked();
  if (!dialed->has_spoken_first) return begin_message(dialed);
  echo_.begin_message(dialed, now_us());
  report_.count_wrong_echo();
  close(dialed, EBADMSG);
}

void Dialer::begin_message(Dialed* dialed) {
  echo_.begin_message(dialed, now_us());
  write_message(dialed);
}

void Dialer::write_message(Dialed* dialed) {
  const std::string_view bytes = echo_.unsent(*dialed);
  const sys::IoResult result = send(*dialed, bytes);
  if (result.status == sys::IoStatus::kFailed) return close(dialed, result.error);
  echo_.add_sent(dialed, result.bytes);
  // Reads also while it writes a message: a server that echoes stops reading until its client
  // reads.
  const bool is_sent = echo_.is_sent(*dialed) && !is_blocked(*dialed);
  const int events = is_sent ? EV_READ : EV_READ | EV_WRITE;
  if ((dialed->watcher.events & (EV_READ | EV_WRITE)) != events) watch(dialed, events);
}

void Dialer::read_subscriber(Dialed* dialed, const uint8_t* bytes, size_t size) {
  const int fd = dialed->watcher.fd;
  CometInput input{bytes, bytes + size};
  const uint64_t now_ns = sys::monotonic_ns();
  while (true) {
    const bool is_subscribing = dialed->state == DialState::kSubscribing;
    const SubscriberStep step = subscribers_.next(fd, &input, is_subscribing, now_ns);
    if (step.is_open) on_open(dialed);
    switch (step.action) {
      case SubscriberStep::Action::kContinue:
        break;
      case SubscriberStep::Action::kWait:
        return;
      case SubscriberStep::Action::kSend:
        if (!send_request(dialed, *step.text)) return;
        break;
      case SubscriberStep::Action::kRest:
        dialed->state = DialState::kResting;
        resting_.push_back(fd);
        break;
      case SubscriberStep::Action::kClose:
        return close(dialed, step.cause);
    }
  }
}

/// False if it closed the connection.
bool Dialer::send_request(Dialed* dialed, const std::string& text) {
  const sys::IoResult result = send(*dialed, text);
  const bool is_whole = result.status == sys::IoStatus::kDone && result.bytes == text.size();
  if (is_whole && !is_blocked(*dialed)) return true;
  // The send buffer of an idle connection has room for a whole request, so a partial send is a
  // failure and nothing is kept.
  close(dialed, result.status == sys::IoStatus::kFailed ? result.error : EAGAIN);
  return false;
}

sys::IoResult Dialer::send(const Dialed& dialed, std::string_view bytes) {
  const int fd = dialed.watcher.fd;
  return dialed.is_sealed ? tls_.send(fd, bytes) : sys::send(fd, bytes.data(), bytes.size());
}

void Dialer::close(Dialed* dialed, int cause) {
  const int fd = dialed->watcher.fd;
  if (dialed->is_opening()) {
    pool_.failed(index_of(*dialed));
    report_.count_failure(cause);
  } else if (reopens(*dialed)) {
    pool_.reopen(index_of(*dialed));
    report_.count_failure(cause);
  } else {
    report_.count_loss(cause);
    if (dialed->state == DialState::kAwaitingEcho) {
      report_.count_broken_echo();
      echo_.abandon();
    }
  }
  ev_io_stop(loop_, &dialed->watcher);
  connections_.release(fd);
  if (subscribers_.is_on()) subscribers_.close(fd);
  tls_.forget(fd);
  sys::close(fd);
}

/// A server may close a connection between two polls, and the client then connects again (RFC 9112
/// 9.3.1). While all clients reconnect, a client's next poll can take longer than the server waits.
bool Dialer::reopens(const Dialed& dialed) const {
  const bool is_open = dialed.state == DialState::kIdle || dialed.state == DialState::kResting;
  return report_.phase() == DialPhase::kOpen && is_open && subscribers_.is_reconnecting() &&
         subscribers_.is_poll();
}

/// Only subscribers need their index again: connections of the echo load do not reconnect.
uint32_t Dialer::index_of(const Dialed& dialed) {
  return subscribers_.is_on() ? subscribers_.index(dialed.watcher.fd) : 0;
}

void Dialer::watch(Dialed* dialed, int events) {
  ev_io_stop(loop_, &dialed->watcher);
  ev_io_modify(&dialed->watcher, events);
  ev_io_start(loop_, &dialed->watcher);
}

}  // namespace megacomet
