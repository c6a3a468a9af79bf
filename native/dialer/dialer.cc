// Opening connections and asking them for bytes. See dialer.h.
#include "dialer/dialer.h"

#include <algorithm>
#include <cerrno>

#include "os/sys.h"

namespace megacomet {

namespace {

constexpr uint64_t kNsPerMs = 1'000'000;

/// Between two looks for connects and questions that are late.
constexpr uint64_t kExpireNs = 1000 * kNsPerMs;

/// Verification asks with one byte that differs between neighbours, so that an answer that reached
/// the wrong connection shows.
constexpr uint32_t kVerifyBytes = 1;

/// A pong without a payload, masked with zeros as a client must mask. Servers of ours ping so.
constexpr uint8_t kPong[] = {0x8a, 0x80, 0, 0, 0, 0};

void add_buckets(const Histogram& histogram, Numbers* out) {
  for (size_t bucket = 0; bucket < Histogram::kBuckets; ++bucket) {
    if (histogram.count(bucket) == 0) continue;
    out->push_back(bucket);
    out->push_back(histogram.count(bucket));
  }
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

bool Dialer::parse_addresses(const Texts& texts, std::vector<Address>* out) {
  for (const std::string& text : texts) {
    Address address{};
    if (!parse_address(text, &address)) return false;
    out->push_back(address);
  }
  return !out->empty();
}

const char* Dialer::dial(const frame::Dial& order, uint32_t descriptors_taken) {
  if (phase_ != DialPhase::kNone || wanted_ != 0) return "already dialing";
  if (!parse_addresses(order.targets, &targets_)) return "a target is no numeric address";
  if (!parse_addresses(order.sources, &sources_)) return "a source is no numeric address";
  const uint32_t capacity = order.connections + descriptors_taken + bounds::kDescriptorReserve;
  const bool has_scans = request_.is_on();
  if (!connections_.map(capacity) || (has_scans && !scans_.map(capacity))) {
    return "no address space for the connection records";
  }
  sys::prepare_descriptor_table(capacity);
  wanted_ = order.connections;
  if (has_scans) numbers_.assign(wanted_, 0);
  connect_timeout_us_ = order.connect_timeout_s * 1'000'000U;
  tokens_.set_rate(order.rate_milli);
  buffer_.resize(bounds::kReadBytesMax);
  begin(DialPhase::kOpen);
  return nullptr;
}

void Dialer::verify(const frame::Verify& order) {
  abandon();
  begin(DialPhase::kVerify);
  connect_timeout_us_ = order.timeout_ms * 1000U;
  message_.assign(kVerifyBytes, 0);
}

void Dialer::exchange(const frame::Exchange& order) {
  abandon();
  begin(DialPhase::kExchange);
  phase_ends_ns_ = phase_began_ns_ + uint64_t{order.duration_ms} * kNsPerMs;
  message_.resize(std::min(order.message_bytes, bounds::kMessageBytesMax));
  for (size_t index = 0; index < message_.size(); ++index) {
    message_[index] = static_cast<uint8_t>(index * 31 + (index >> 8));
  }
  uint32_t left = order.connections;
  connections_.visit(0, connections_.capacity(), [&](Dialed& dialed) {
    if (left == 0) return false;
    if (dialed.state != DialState::kIdle) return true;
    --left;
    ask(&dialed);
    return true;
  });
}

void Dialer::abandon() {
  if (in_flight_ == 0) return;
  connections_.visit(0, connections_.capacity(), [this](Dialed& dialed) {
    if (is_waiting(dialed)) drop(&dialed, ETIMEDOUT);
    return true;
  });
}

bool Dialer::reconnect(const frame::Reconnect& order) {
  if (phase_ != DialPhase::kNone || !request_.is_on()) return false;
  connections_.visit(0, connections_.capacity(), [this](Dialed& dialed) {
    if (dialed.state == DialState::kFree) return true;
    const int fd = dialed.watcher.fd;
    ev_io_stop(loop_, &dialed.watcher);
    connections_.release(fd);
    scans_.release(fd);
    // An orderly end would keep the port for a minute, and there are not so many.
    sys::reset(fd);
    return true;
  });
  epoch_ = order.epoch;
  is_reconnecting_ = true;
  opened_ = started_ = in_flight_ = 0;
  begin(DialPhase::kOpen);
  return true;
}

void Dialer::gather(const frame::Gather& order) {
  begin(DialPhase::kGather);
  for (const Arrival& arrival : delivery_times_.all()) {
    frame::DeliveryTimes frame;
    frame.key = arrival.key;
    frame.count = arrival.count;
    frame.first_ns = arrival.first_ns;
    frame.last_ns = arrival.last_ns;
    add_buckets(arrival.since_first, &frame.buckets);
    control_->send(frame);
  }
  if (order.forgets != 0) delivery_times_.clear();
  finish();
}

void Dialer::begin(DialPhase phase) {
  phase_ = phase;
  phase_began_ns_ = sys::monotonic_ns();
  position_ = 0;
  answered_ = wrong_ = messages_ = 0;
  latency_.clear();
  ev_prepare_start(loop_, &pump_);
  ev_timer_again(loop_, &progress_);
}

void Dialer::finish() {
  ev_idle_stop(loop_, &idle_);
  ev_timer_stop(loop_, &wake_);
  ev_prepare_stop(loop_, &pump_);
  frame::Failures failures;
  for (const auto& [error, count] : failures_) {
    failures.counts.push_back(static_cast<uint64_t>(error));
    failures.counts.push_back(count);
  }
  control_->send(failures);
  frame::Latency latency;
  latency.min_us = latency_.min_us();
  latency.max_us = latency_.max_us();
  add_buckets(latency_, &latency.buckets);
  control_->send(latency);
  report(true);
  phase_ = DialPhase::kNone;
}

void Dialer::report(bool is_finished) {
  frame::Progress progress;
  progress.phase = static_cast<uint8_t>(phase_);
  progress.finished = is_finished ? 1 : 0;
  progress.opened = opened_;
  progress.failed = failed_;
  progress.lost = lost_reported_ = lost_;
  progress.answered = answered_;
  progress.wrong = wrong_;
  progress.messages = messages_;
  progress.received = received_reported_ = received_;
  progress.gaps = gaps_;
  progress.elapsed_us = (sys::monotonic_ns() - phase_began_ns_) / 1000;
  control_->send(progress);
}

void Dialer::on_progress(struct ev_loop*, ev_timer* timer, int) {
  auto* self = static_cast<Dialer*>(timer->data);
  // Between phases there is news only when a connection was lost, or messages came.
  const bool has_news =
      self->lost_ != self->lost_reported_ || self->received_ != self->received_reported_;
  if (self->phase_ != DialPhase::kNone || has_news) self->report(false);
  self->expire(sys::monotonic_ns());
  // A moment has passed.
  self->again_.insert(self->again_.end(), self->rejected_.begin(), self->rejected_.end());
  self->rejected_.clear();
}

void Dialer::on_pump(struct ev_loop*, ev_prepare* watcher, int) {
  static_cast<Dialer*>(watcher->data)->pump();
}

void Dialer::pump() {
  switch (phase_) {
    case DialPhase::kNone:
    case DialPhase::kGather:
      return;
    case DialPhase::kOpen:
      return pump_open();
    case DialPhase::kVerify:
      return pump_verify();
    case DialPhase::kExchange:
      if (sys::monotonic_ns() >= phase_ends_ns_) finish();
      return;
  }
}

void Dialer::pump_open() {
  ev_idle_stop(loop_, &idle_);
  for (uint32_t count = 0; count < bounds::kDialBatchMax; ++count) {
    if (!has_more()) {
      if (in_flight_ == 0 && rejected_.empty()) finish();
      return;
    }
    if (in_flight_ >= bounds::kDialInFlightMax) return;
    if (!tokens_.take(sys::monotonic_ns())) {
      ev_timer_stop(loop_, &wake_);
      ev_timer_set(&wake_, tokens_.wait_ms() / 1000., 0.);
      ev_timer_start(loop_, &wake_);
      return;
    }
    open_next();
  }
  // More to start: an idle watcher keeps the loop from blocking, and events are still served.
  ev_idle_start(loop_, &idle_);
}

void Dialer::pump_between_events() {
  if (phase_ == DialPhase::kOpen && ++events_ % bounds::kDialEvents == 0) pump_open();
}

void Dialer::open_next() {
  if (again_.empty()) return open_one(started_++);
  const uint32_t index = again_.back();
  again_.pop_back();
  open_one(index);
}

void Dialer::open_one(uint32_t index) {
  const Address& source = sources_[index % sources_.size()];
  const Address& target = targets_[index / sources_.size() % targets_.size()];
  const int fd = sys::open_dialing_socket(source.get(), source.bytes);
  if (fd < 0) return failed(index, errno);
  MC_CHECK(static_cast<uint32_t>(fd) < connections_.capacity());
  Dialed* dialed = connections_.occupy(fd);
  dialed->state = DialState::kConnecting;
  dialed->since_us = now_us();
  dialed->sent = index;
  if (request_.is_on()) scans_.occupy(fd);
  ++in_flight_;
  ev_io_init(&dialed->watcher, on_event, fd, EV_WRITE);
  dialed->watcher.data = this;
  const sys::IoResult result = sys::connect(fd, target.get(), target.bytes);
  if (result.status == sys::IoStatus::kFailed) {
    drop(dialed, result.error);
  } else if (result.status == sys::IoStatus::kDone) {
    connected(dialed);
  } else if (!asks_at_once(dialed)) {
    ev_io_start(loop_, &dialed->watcher);
  }
}

void Dialer::connected(Dialed* dialed) {
  watch(dialed, EV_READ);
  if (!request_.is_on()) return opened(dialed);
  if (request(dialed, first_request(*dialed))) asked(dialed);
}

/// Over loopback the handshake is over when connect() returns, though it says that it has begun:
/// who has something to ask needs no event first. False if there is no connection yet.
bool Dialer::asks_at_once(Dialed* dialed) {
  if (!request_.is_on()) return false;
  const std::string& text = first_request(*dialed);
  const sys::IoResult result = sys::send(dialed->watcher.fd, text.data(), text.size());
  if (result.status == sys::IoStatus::kAgain) return false;
  if (result.bytes != text.size()) {
    drop(dialed, result.status == sys::IoStatus::kFailed ? result.error : EAGAIN);
    return true;
  }
  watch(dialed, EV_READ);
  asked(dialed);
  return true;
}

const std::string& Dialer::first_request(const Dialed& dialed) {
  const uint32_t index = dialed.sent;
  if (!has_cursor(dialed)) return request_.opening(index);
  return request_.after(index, {epoch_, numbers_[index]});
}

void Dialer::asked(Dialed* dialed) {
  dialed->state = DialState::kSubscribing;
  // Such a poll is answered with the next message, whenever that comes.
  const bool is_back = has_cursor(*dialed) && request_.transport() == DialTransport::kPoll;
  if (is_back) opened(dialed);
}

void Dialer::opened(Dialed* dialed) {
  --in_flight_;
  ++opened_;
  dialed->state = DialState::kIdle;
}

void Dialer::failed(uint32_t index, int error) {
  ++failures_[error];
  if (is_reconnecting_) {
    rejected_.push_back(index);
  } else {
    ++failed_;
  }
}

void Dialer::drop(Dialed* dialed, int error) {
  const int fd = dialed->watcher.fd;
  if (dialed->state == DialState::kConnecting || dialed->state == DialState::kSubscribing) {
    --in_flight_;
    failed(dialed->sent, error);
  } else if (comes_back(*dialed)) {
    --opened_;
    failed(dialed->sent, error);
  } else {
    ++lost_;
    ++failures_[error];
    if (dialed->state == DialState::kAsking) --in_flight_;
  }
  ev_io_stop(loop_, &dialed->watcher);
  connections_.release(fd);
  if (request_.is_on()) scans_.release(fd);
  sys::close(fd);
}

/// Between two polls the server may close, and then the client asks anew (RFC 9112 9.3.1): while
/// all come back, and a client's next request takes longer than the server waits.
bool Dialer::comes_back(const Dialed& dialed) const {
  return is_reconnecting_ && phase_ == DialPhase::kOpen && dialed.state == DialState::kIdle &&
         request_.transport() == DialTransport::kPoll;
}

bool Dialer::is_waiting(const Dialed& dialed) {
  return dialed.state == DialState::kConnecting || dialed.state == DialState::kSubscribing ||
         dialed.state == DialState::kAsking;
}

void Dialer::pump_verify() {
  // visit() always looks at one more.
  if (in_flight_ < bounds::kVerifyInFlightMax) {
    position_ = connections_.visit(position_, connections_.capacity(), [this](Dialed& dialed) {
      if (dialed.state == DialState::kIdle) ask(&dialed);
      return in_flight_ < bounds::kVerifyInFlightMax;
    });
  }
  if (position_ == connections_.capacity() && in_flight_ == 0) finish();
}

void Dialer::ask(Dialed* dialed) {
  dialed->state = DialState::kAsking;
  dialed->since_us = now_us();
  dialed->sent = dialed->received = 0;
  ++in_flight_;
  write(dialed);
}

uint8_t Dialer::expected_byte(const Dialed* dialed, uint32_t offset) const {
  return phase_ == DialPhase::kVerify ? static_cast<uint8_t>(dialed->watcher.fd * 167)
                                      : message_[offset];
}

void Dialer::write(Dialed* dialed) {
  if (phase_ == DialPhase::kVerify) message_[0] = expected_byte(dialed, 0);
  const auto size = static_cast<uint32_t>(message_.size());
  const sys::IoResult result =
      sys::send(dialed->watcher.fd, message_.data() + dialed->sent, size - dialed->sent);
  if (result.status == sys::IoStatus::kFailed) {
    drop(dialed, result.error);
    return;
  }
  dialed->sent += static_cast<uint32_t>(result.bytes);
  // Reads go on while it writes: a server that echoes would otherwise wait for us, and we for it.
  const int events = dialed->sent < size ? EV_READ | EV_WRITE : EV_READ;
  if ((dialed->watcher.events & (EV_READ | EV_WRITE)) != events) watch(dialed, events);
}

void Dialer::read(Dialed* dialed) {
  const sys::IoResult result = sys::receive(dialed->watcher.fd, buffer_.data(), buffer_.size());
  if (result.status == sys::IoStatus::kAgain) return;
  if (result.status != sys::IoStatus::kDone) {
    drop(dialed, result.status == sys::IoStatus::kEnd ? 0 : result.error);
    return;
  }
  if (request_.is_on()) {
    read_comet_bytes(dialed, buffer_.data(), result.bytes);
    return;
  }
  const uint32_t left = dialed->state == DialState::kAsking ? dialed->sent - dialed->received : 0;
  bool is_right = result.bytes <= left;
  for (uint32_t index = 0; is_right && index < result.bytes; ++index) {
    is_right = buffer_[index] == expected_byte(dialed, dialed->received + index);
  }
  if (!is_right) {
    ++wrong_;
    drop(dialed, EBADMSG);
    return;
  }
  dialed->received += static_cast<uint32_t>(result.bytes);
  if (dialed->received == message_.size()) answered(dialed);
}

void Dialer::answered(Dialed* dialed) {
  --in_flight_;
  dialed->state = DialState::kIdle;
  latency_.record(now_us() - dialed->since_us);
  ++messages_;
  ++answered_;
  if (phase_ == DialPhase::kExchange && sys::monotonic_ns() < phase_ends_ns_) ask(dialed);
}

bool Dialer::request(Dialed* dialed, const std::string& text) {
  const sys::IoResult result = sys::send(dialed->watcher.fd, text.data(), text.size());
  if (result.status == sys::IoStatus::kDone && result.bytes == text.size()) return true;
  // An idle connection takes a request whole, so nothing is kept for a second try.
  drop(dialed, result.status == sys::IoStatus::kFailed ? result.error : EAGAIN);
  return false;
}

bool Dialer::read_comet_bytes(Dialed* dialed, const uint8_t* bytes, size_t size) {
  CometScan* scan = scans_.at(dialed->watcher.fd);
  CometInput input{bytes, bytes + size};
  const uint64_t now_ns = sys::monotonic_ns();
  while (true) {
    const CometEvent event = read_comet(request_.transport(), scan, &input);
    if (event == CometEvent::kNone) return true;
    if (!take(dialed, event, now_ns)) return false;
  }
}

bool Dialer::take(Dialed* dialed, CometEvent event, uint64_t now_ns) {
  const CometScan& scan = *scans_.at(dialed->watcher.fd);
  const bool is_subscribing = dialed->state == DialState::kSubscribing;
  switch (event) {
    case CometEvent::kHead:
      return take_head(dialed);
    case CometEvent::kMessage:
      ++received_;
      delivery_times_.record(scan.key, now_ns);
      // Of a poll the answer is still under way.
      if (request_.transport() == DialTransport::kPoll) return true;
      numbers_[dialed->sent] = scan.number;
      if (is_subscribing) opened(dialed);
      return true;
    case CometEvent::kPlace:
      // Who is cut off before its first message goes on from here.
      numbers_[dialed->sent] = scan.number;
      if (is_subscribing) opened(dialed);
      return true;
    case CometEvent::kGap:
      // The first poll asks from nowhere, and is told so.
      if (!is_subscribing || request_.has_since() || has_cursor(*dialed)) ++gaps_;
      return true;
    case CometEvent::kAnswer:
      return take_answer(dialed);
    case CometEvent::kPing:
      return request(dialed, std::string(reinterpret_cast<const char*>(kPong), sizeof kPong));
    case CometEvent::kClose:
      drop(dialed, 0);
      return false;
    case CometEvent::kBroken:
    case CometEvent::kNone:
      break;
  }
  drop(dialed, EBADMSG);
  return false;
}

bool Dialer::take_head(Dialed* dialed) {
  const CometScan& scan = *scans_.at(dialed->watcher.fd);
  if (!request_.is_fine(scan.status)) {
    drop(dialed, bounds::kHttpFailure + scan.status);
    return false;
  }
  const bool is_poll = request_.transport() == DialTransport::kPoll;
  if (is_poll) {
    epoch_ = scan.key;
  } else if (!request_.awaits_cursor() && dialed->state == DialState::kSubscribing) {
    opened(dialed);
  }
  return true;
}

bool Dialer::take_answer(Dialed* dialed) {
  if (dialed->state == DialState::kSubscribing) opened(dialed);
  const uint64_t number = scans_.at(dialed->watcher.fd)->number;
  numbers_[dialed->sent] = number;
  return request(dialed, request_.after(dialed->sent, {epoch_, number}));
}

void Dialer::on_event(struct ev_loop*, ev_io* watcher, int revents) {
  auto* self = static_cast<Dialer*>(watcher->data);
  self->dispatch(reinterpret_cast<Dialed*>(watcher), revents);
  self->pump_between_events();
}

void Dialer::dispatch(Dialed* dialed, int revents) {
  // Errors of epoll_ctl do not reach the callback; ENOSPC (max_user_watches) is by far the first.
  if ((revents & EV_ERROR) != 0) return drop(dialed, ENOSPC);
  if (dialed->state == DialState::kConnecting) {
    const int error = sys::socket_error(dialed->watcher.fd);
    return error == 0 ? connected(dialed) : drop(dialed, error);
  }
  // Writing may have dropped it, and reading can wait for the next turn.
  if ((revents & EV_WRITE) != 0 && dialed->sent < message_.size()) return write(dialed);
  read(dialed);
}

/// Looks at all records, which a busy machine has in no cache: seldom, as the time is in seconds.
void Dialer::expire(uint64_t now_ns) {
  if (phase_ == DialPhase::kExchange || in_flight_ == 0 || now_ns < expire_after_ns_) return;
  expire_after_ns_ = now_ns + kExpireNs;
  const uint32_t now = now_us();
  connections_.visit(0, connections_.capacity(), [this, now](Dialed& dialed) {
    const bool is_late = now - dialed.since_us > connect_timeout_us_;
    if (is_late && is_waiting(dialed)) drop(&dialed, ETIMEDOUT);
    return true;
  });
}

void Dialer::watch(Dialed* dialed, int events) {
  ev_io_stop(loop_, &dialed->watcher);
  ev_io_modify(&dialed->watcher, events);
  ev_io_start(loop_, &dialed->watcher);
}

uint32_t Dialer::now_us() const {
  return static_cast<uint32_t>(sys::monotonic_ns() / 1000);
}

}  // namespace megacomet
