// Reading, sending and closing accepted connections. See transport.h.
#include "connection/transport.h"

#include "base/check.h"
#include "connection/client_limits.h"
#include "connection/session.h"
#include "os/sys.h"

namespace megacomet {

namespace {

Counter counter_of(CloseCause cause) {
  switch (cause) {
    case CloseCause::kPeer:
    case CloseCause::kFinalResponse:
      return Counter::kClosedPeerTotal;
    case CloseCause::kReset:
      return Counter::kClosedResetTotal;
    case CloseCause::kIdle:
      return Counter::kClosedIdleTotal;
    case CloseCause::kDrain:
      return Counter::kClosedDrainTotal;
    case CloseCause::kCutOff:
      return Counter::kClosedCutOffTotal;
    case CloseCause::kWatchFailed:
      return Counter::kClosedWatchFailedTotal;
    case CloseCause::kDone:
      return Counter::kClosedDoneTotal;
    case CloseCause::kRejected:
      return Counter::kClosedRejectedTotal;
    case CloseCause::kSlow:
      return Counter::kClosedSlowTotal;
    case CloseCause::kDead:
      return Counter::kClosedDeadTotal;
    case CloseCause::kKicked:
      return Counter::kClosedKickedTotal;
    case CloseCause::kExpired:
      return Counter::kClosedExpiredTotal;
    case CloseCause::kProxyHeader:
      return Counter::kClosedProxyHeaderTotal;
    case CloseCause::kLimited:
      return Counter::kClosedLimitedTotal;
    case CloseCause::kHeadTimeout:
      return Counter::kClosedHeadTimeoutTotal;
    case CloseCause::kCertificate:
      return Counter::kClosedCertificateTotal;
    case CloseCause::kTls:
      return Counter::kClosedTlsTotal;
    case CloseCause::kMessageTimeout:
      break;
  }
  return Counter::kClosedMessageTimeoutTotal;
}

/// Why a connection that must send a request is closed.
CloseCause silence_of(const Connection& connection) {
  const bool has_begun = connection.is_busy() && !connection.session->input.empty();
  return has_begun ? CloseCause::kHeadTimeout : CloseCause::kIdle;
}

bool is_of(const Connection& connection, ProtocolId protocol) {
  return connection.protocol == static_cast<uint8_t>(protocol);
}

/// Whether the record no longer holds the occupant that had this generation.
bool is_gone(const Connection& connection, uint32_t generation) {
  return connection.generation != generation || connection.state == ConnectionState::kFree;
}

/// Whether to linger on close: the peer was sent a final response and may still be sending, so an
/// immediate close would reset the connection and destroy that response. A peer that sent Close
/// should send nothing more, but RFC 6455 7.1.1 lets us wait for its end: the ws client of Node.js
/// that went on writing lost our Close, because a failed write ends its reading.
bool lingers(CloseCause cause) {
  return cause == CloseCause::kRejected || cause == CloseCause::kMessageTimeout ||
         cause == CloseCause::kFinalResponse;
}

}  // namespace

Transport::Transport(struct ev_loop* loop,
                     Admission* admission,
                     Counters* counters,
                     const Protocol* const* protocols)
    : loop_(loop),
      admission_(admission),
      counters_(counters),
      protocols_(protocols),
      input_budget_(counters),
      sessions_(counters, &input_budget_),
      tls_(counters),
      sender_({this, &connections_, &sessions_, counters, protocols, &tls_}),
      lingering_close_(loop),
      rejected_peers_(loop, &services_, protocols, &tls_) {
  // The watchers' own data is the connections'; see connection.h.
  ev_set_userdata(loop, this);
  services_.connections = this;
  services_.sender = &sender_;
  services_.sessions = &sessions_;
  services_.counters = counters;
  services_.input_budget = &input_budget_;
}

Transport::~Transport() {
  // The kernel closes the descriptors with the process; only the heap is given back.
  connections_.visit(0, connections_.capacity(), [](const Connection& connection) {
    if (connection.is_busy()) delete connection.session;
    return true;
  });
}

void Transport::set_observer(ConnectionObserver* observer) {
  observer_ = observer;
  sender_.set_observer(observer);
}

void Transport::set_idle_timeout(uint32_t seconds) {
  if (seconds == idle_timeout_s_) return;
  idle_timeout_s_ = seconds;
  connections_.visit(0, connections_.capacity(), [this](Connection& connection) {
    const bool is_open = connection.state != ConnectionState::kFree;
    if (is_open && protocol_of(connection).uses_idle_timeout)
      set_deadline(&connection, idle_seconds());
    return true;
  });
}

void Transport::reject(
    int fd, uint8_t protocol, Rejection reason, std::string_view request, uint8_t flags) {
  // The peers of one address must not use all slots, nor make a listener wait for one.
  const bool is_reset = reason != Rejection::kServer && rejected_peers_.is_full_of_limited();
  if (is_reset || !answers_rejected(protocol)) return sys::reset(fd);
  rejected_peers_.take(fd, protocol, reason, request, flags);
}

void Transport::reject(Connection* connection,
                       uint8_t protocol,
                       Rejection reason,
                       std::string_view request) {
  const uint8_t flags = tls_.is_expected(*connection) ? listener_flag::kTls : 0;
  const int fd = forget(connection, CloseCause::kLimited);
  reject(fd, protocol, reason, request, flags);
  admission_->leave();
}

void Transport::register_fd(int fd, uint8_t protocol, uint32_t word, uint8_t flags) {
  Connection* connection = connections_.occupy(fd);
  MC_CHECK(connection->state == ConnectionState::kFree);
  connection->generation = ++generation_;
  change_state(connection, ConnectionState::kOpen);
  ev_io_init(&connection->watcher, on_event, fd, EV_READ);
  connection->watcher.word = word;
  ev_io_start(loop_, &connection->watcher);
  counters_->add(Counter::kAcceptedTotal);
  if ((flags & listener_flag::kTls) != 0) tls_.expect(fd);
  const bool has_header = (flags & listener_flag::kProxyHeader) != 0;
  begin(connection, has_header ? static_cast<uint8_t>(ProtocolId::kProxyHeader) : protocol);
  // The protocol after the header.
  if (has_header) connection->mode = protocol & 0xfU;
  const Protocol& first = protocol_of(*connection);
  // The request of a client that waited for a long iteration has arrived: it need not wait again,
  // behind the events of 18,000 polls that reconnect.
  if (first.is_read_at_accept && mid_iteration_.is_late()) read(connection);
}

void Transport::tick(uint16_t now) {
  now_ = now;
  connections_.trim();
  lingering_close_.tick();
  rejected_peers_.tick();
  tls_.tick(now);
  tls_.trim();
}

void Transport::on_event(struct ev_loop* loop, ev_io* watcher, int revents) {
  auto* self = static_cast<Transport*>(ev_userdata(loop));
  self->dispatch(reinterpret_cast<Connection*>(watcher), revents);
  self->mid_iteration_.count_event();
}

void Transport::dispatch(Connection* connection, int revents) {
  if ((revents & EV_ERROR) != 0) return close(connection, CloseCause::kWatchFailed);
  if ((revents & EV_READ) != 0) {
    // Read first: the peer may have left. A peer that never stops sending is sent to as well.
    const uint32_t generation = connection->generation;
    read(connection);
    const bool is_writable = (revents & EV_WRITE) != 0 && connection->generation == generation;
    if (!is_writable || !connection->is_blocked) return;
  }
  sender_.on_writable(connection);
}

void Transport::read(Connection* connection) {
  if (is_of(*connection, ProtocolId::kTlsHandshake) && !tls_.may_shake(*connection)) {
    // Its bytes stay in the kernel until another handshake ends.
    return ev_io_stop(loop_, &connection->watcher);
  }
  const sys::IoResult result = sys::receive(connection->fd(), buffer_.data(), buffer_.size());
  switch (result.status) {
    case sys::IoStatus::kDone: {
      counters_->add(Counter::kBytesReceivedTotal, result.bytes);
      if (connection->is_sealed) return read_sealed(connection, buffer_.data(), result.bytes);
      return take_bytes(connection, buffer_.data(), result.bytes);
    }
    case sys::IoStatus::kAgain:
      return;
    case sys::IoStatus::kEnd:
      // A closed browser tab ends its side too: it leaves its channels at once, and queued output
      // is still sent.
      sender_.finish(connection, CloseCause::kPeer);
      return;
    case sys::IoStatus::kFailed:
      close(connection, CloseCause::kReset);
      return;
  }
}

/// Hands bytes to the connection's protocol.
void Transport::take_bytes(Connection* connection, uint8_t* bytes, size_t size) {
  const Protocol& protocol = protocol_of(*connection);
  if (protocol.uses_idle_timeout) set_deadline(connection, idle_seconds());
  protocol.on_bytes(services_, connection, bytes, size);
}

/// Takes bytes of records, after those that began one before.
void Transport::read_sealed(Connection* connection, uint8_t* bytes, size_t size) {
  const bool has_begun = connection->is_busy() && !connection->session->sealed_input.empty();
  if (!has_begun) return open_sealed(connection, bytes, size);
  std::string all = input_budget_.take(&connection->session->sealed_input);
  all.append(reinterpret_cast<const char*>(bytes), size);
  open_sealed(connection, reinterpret_cast<uint8_t*>(all.data()), all.size());
}

void Transport::open_sealed(Connection* connection, uint8_t* bytes, size_t size) {
  const TlsInput input = tls_.read(*connection, bytes, size);
  const uint32_t generation = connection->generation;
  if (input.consumed < size && input.end == TlsEnd::kNone) {
    const std::string_view rest(reinterpret_cast<const char*>(bytes) + input.consumed,
                                size - input.consumed);
    std::string& kept = sessions_.acquire(connection)->sealed_input;
    if (!keep_input(connection, rest, &kept)) return;
  }
  // A connection that is closing reads on, until the end of the peer.
  if (input.data_bytes > 0) take_bytes(connection, bytes, input.data_bytes);
  if (is_gone(*connection, generation)) return;
  if (input.end != TlsEnd::kNone) return end_sealed(connection, input);
  sessions_.release(connection);
}

/// The peer sends nothing more, or broke a rule.
void Transport::end_sealed(Connection* connection, const TlsInput& input) {
  switch (input.end) {
    case TlsEnd::kNone:
      return;
    case TlsEnd::kClosed:
      return sender_.finish(connection, CloseCause::kPeer);
    case TlsEnd::kAlerted:
      return close(connection, CloseCause::kReset);
    case TlsEnd::kBroken:
      counters_->add(Counter::kTlsRecordsRejectedTotal);
      return close_with(connection, input.alert, CloseCause::kTls);
  }
}

/// Closes a sealed connection with an alert, which is lost behind queued output.
void Transport::close_with(Connection* connection, TlsAlert alert, CloseCause cause) {
  if (!connection->is_blocked) tls_.send_alert(*connection, alert, sys::send);
  close(connection, cause);
}

void Transport::shake(Connection* connection, const uint8_t* bytes, size_t size) {
  TlsConnections::Step step = tls_.shake(connection, bytes, size);
  const uint32_t generation = connection->generation;
  if (!step.output.empty() && !sender_.send_sealed(connection, std::move(step.output))) return;
  if (step.status == HandshakeStatus::kGoesOn) return;
  if (step.status == HandshakeStatus::kFailed) {
    counters_->add(Counter::kTlsHandshakesFailedTotal);
    return close(connection, CloseCause::kTls);
  }
  counters_->add(Counter::kTlsHandshakesTotal);
  resume_handshakes();
  if (!certify(connection, step.certificate)) return;
  begin(connection, connection->mode);
  if (step.rest.empty() || is_gone(*connection, generation)) return;
  open_sealed(connection, reinterpret_cast<uint8_t*>(step.rest.data()), step.rest.size());
}

/// Takes the user of a client's certificate. False if that closed the connection.
bool Transport::certify(Connection* connection, const ClientCertificate& certificate) {
  if (!tls_.demands_certificates()) return true;
  const size_t size = certificate.subject.size();
  const bool is_named = size > 0 && size <= bounds::kTokenNameBytesMax;
  const TokenFault fault =
      is_named ? services_.access->certify(connection, certificate) : TokenFault::kMalformed;
  if (fault == TokenFault::kNone) return true;
  const bool is_full = fault == TokenFault::kUserFull;
  close_with(connection,
             TlsAlert::kAccessDenied,
             is_full ? CloseCause::kLimited : CloseCause::kCertificate);
  return false;
}

/// Reads peers again that waited for another handshake to end. Their deadline is that of accept.
void Transport::resume_handshakes() {
  ConnectionName name{};
  while (tls_.take_waiting(&name)) {
    Connection* connection = find_connection(&connections_, name);
    if (connection == nullptr || !is_of(*connection, ProtocolId::kTlsHandshake)) continue;
    tls_.keep_room(*connection);
    ev_io_start(loop_, &connection->watcher);
  }
}

bool Transport::keep_input(Connection* connection, std::string_view bytes, std::string* kept) {
  if (input_budget_.keep(bytes, kept)) return true;
  const Protocol& protocol = protocol_of(*connection);
  if (protocol.on_input_full == nullptr) {
    close(connection, CloseCause::kRejected);
  } else {
    protocol.on_input_full(services_, connection);
  }
  return false;
}

void Transport::begin(Connection* connection, uint8_t protocol) {
  connection->protocol = protocol & 0xfU;
  connection->mode = 0;
  const bool has_header = is_of(*connection, ProtocolId::kProxyHeader);
  if (tls_.is_on() && !has_header && tls_.is_expected(*connection)) {
    hand_over(connection, ProtocolId::kTlsHandshake);
    connection->mode = protocol & 0xfU;
  }
  const Protocol& first = protocol_of(*connection);
  set_deadline(connection, 0);
  if (first.on_accept != nullptr) first.on_accept(services_, connection);
}

void Transport::feed(Connection* connection, std::string bytes) {
  auto* start = reinterpret_cast<uint8_t*>(bytes.data());
  protocol_of(*connection).on_bytes(services_, connection, start, bytes.size());
}

/// Frees the record and counts the close. The caller closes the descriptor.
int Transport::forget(Connection* connection, CloseCause cause) {
  const int fd = connection->fd();
  // Stop, then close: see libev.h, rule 2.
  ev_io_stop(loop_, &connection->watcher);
  observer_->on_close(connection);
  if (connection->is_sealed && !connection->is_blocked) {
    tls_.send_alert(*connection, TlsAlert::kCloseNotify, sys::send);
  }
  sender_.forget(connection);
  sessions_.destroy(connection);
  if (tls_.is_on()) tls_.forget(connection);
  if (connection->watcher.word != 0) services_.limits->leave(connection);
  change_state(connection, ConnectionState::kFree);
  connections_.release(fd);
  counters_->add(Counter::kClosedTotal);
  counters_->add(counter_of(cause));
  return fd;
}

void Transport::close(Connection* connection, CloseCause cause) {
  const int fd = forget(connection, cause);
  if (!lingers(cause) || !lingering_close_.take(fd)) sys::close(fd);
  if (tls_.is_on()) resume_handshakes();
  // Last, because it wakes listeners, which may use the descriptor again.
  admission_->leave();
}

void Transport::disconnect(Connection* connection, CloseCause cause, std::string_view reason) {
  // Its final response is queued, and it closes with the last byte.
  if (connection->is_closing) return;
  const uint32_t generation = connection->generation;
  observer_->on_disconnecting(connection);
  if (is_gone(*connection, generation) || connection->is_closing) return;
  const Protocol& protocol = protocol_of(*connection);
  if (protocol.on_disconnect == nullptr) return close(connection, cause);
  protocol.on_disconnect(services_, connection, cause, reason);
}

bool Transport::would_lose_output(const Connection& connection) const {
  return connection.is_blocked && protocol_of(connection).on_disconnect == nullptr;
}

/// Whether the deadline waits for bytes of the peer: a request, an answer to a ping, or anything.
bool Transport::should_have_spoken(const Connection& connection) const {
  if (connection.is_blocked) return false;
  return protocol_of(connection).on_deadline == nullptr || connection.awaits_pong;
}

/// Reads bytes that may have arrived in time while this worker was stopped or served thousands of
/// others: closing would answer them with a reset. True if that closed the connection or moved its
/// deadline.
bool Transport::is_heard(Connection* connection) {
  const uint32_t generation = connection->generation;
  read(connection);
  return is_gone(*connection, generation) || !connection->is_due(now_);
}

void Transport::expire(Connection* connection) {
  // Without a timeout the sweep is on for PROXY headers, and the longest deadline begins again.
  const bool never_idles = idle_timeout_s_ == 0 && protocol_of(*connection).uses_idle_timeout;
  if (never_idles) return set_deadline(connection, idle_seconds());
  // A peer has the whole of its last second: its last byte may have arrived at the end of a tick.
  const bool waits_for_peer = connection->is_blocked || should_have_spoken(*connection);
  if (waits_for_peer && !connection->is_due(now_)) return;
  if (should_have_spoken(*connection) && is_heard(connection)) return;
  const Protocol& protocol = protocol_of(*connection);
  const bool is_slow = connection->is_blocked && !protocol.uses_idle_timeout;
  if (is_slow) return close(connection, CloseCause::kSlow);
  if (protocol.on_deadline == nullptr) return close(connection, silence_of(*connection));
  protocol.on_deadline(services_, connection);
}

void Transport::watch(Connection* connection, int events) {
  ev_io_stop(loop_, &connection->watcher);
  ev_io_modify(&connection->watcher, events);
  ev_io_start(loop_, &connection->watcher);
}

}  // namespace megacomet
