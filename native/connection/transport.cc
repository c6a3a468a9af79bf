// Reading, sending and closing accepted connections. See transport.h.
#include "connection/transport.h"

#include "base/check.h"
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
    case CloseCause::kMessageTimeout:
      break;
  }
  return Counter::kClosedMessageTimeoutTotal;
}

/// Whether it was told something, and perhaps in the midst of sending: a reset would overtake the
/// word. Who says farewell should have said all, but RFC 6455 7.1.1 has us wait for its end, too: a
/// client in Node.js that wrote on lost our answer, since a write that fails ends its reading.
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
      lingering_close_(loop) {
  // The watchers' own data is the connections'; see connection.h.
  ev_set_userdata(loop, this);
}

Transport::~Transport() {
  // The kernel closes the descriptors with the process; only what is on the heap is given back.
  connections_.visit(0, connections_.capacity(), [](const Connection& connection) {
    if (connection.state == ConnectionState::kOwing) delete connection.outbox;
    if (connection.state == ConnectionState::kBusy) delete connection.session;
    return true;
  });
}

void Transport::set_idle_timeout(uint32_t seconds) {
  if (seconds == idle_timeout_s_) return;
  idle_timeout_s_ = seconds;
  // Without a timeout a deadline is the last byte's time, and after nine hours it would look as if
  // it were to come.
  connections_.visit(0, connections_.capacity(), [this](Connection& connection) {
    if (connection.state != ConnectionState::kFree && hooks_ == nullptr) touch(&connection);
    return true;
  });
}

void Transport::reject(int fd, uint8_t protocol) {
  const Protocol& first = *protocols_[protocol];
  if (first.refusal != nullptr) {
    const std::string text = first.refusal(*this);
    const sys::IoResult result = sys::send(fd, text.data(), text.size());
    if (result.status != sys::IoStatus::kFailed && lingering_close_.take(fd)) return;
  }
  sys::reset(fd);
}

void Transport::register_fd(int fd, uint8_t protocol) {
  Connection* connection = connections_.occupy(fd);
  MC_CHECK(connection->state == ConnectionState::kFree);
  connection->generation = ++generation_;
  connection->protocol = protocol & 0xfU;
  connection->mode = 0;
  change_state(connection, ConnectionState::kOpen);
  touch(connection);
  ev_io_init(&connection->watcher, on_event, fd, EV_READ);
  ev_io_start(loop_, &connection->watcher);
  counters_->add(Counter::kAcceptedTotal);
  // Who connects and says nothing must not stay.
  if (hooks_ == nullptr) return;
  set_deadline(connection, comet()->rules().handshake_timeout_s);
  // A client of HTTP speaks first, and who waited for a long turn has done so: its request need not
  // wait again, behind those of 18,000 polls that came back.
  if (mid_iteration_.is_late()) read(connection);
}

void Transport::tick(uint16_t now) {
  now_ = now;
  connections_.trim();
  lingering_close_.tick();
}

void Transport::on_event(struct ev_loop* loop, ev_io* watcher, int revents) {
  auto* self = static_cast<Transport*>(ev_userdata(loop));
  self->dispatch(reinterpret_cast<Connection*>(watcher), revents);
  self->mid_iteration_.count_event();
}

void Transport::dispatch(Connection* connection, int revents) {
  if ((revents & EV_ERROR) != 0) {
    close(connection, CloseCause::kWatchFailed);
  } else if (connection->state == ConnectionState::kOwing) {
    flush(connection);
  } else if ((revents & EV_READ) != 0) {
    // First what the peer says: it may have left. Who never stops is sent what it is owed, too.
    const uint32_t generation = connection->generation;
    read(connection);
    const bool may_write = (revents & EV_WRITE) != 0 && connection->generation == generation &&
                           has_queued_output(*connection);
    if (may_write) hooks_->on_writable(connection);
  } else {
    hooks_->on_writable(connection);
  }
}

void Transport::read(Connection* connection) {
  const sys::IoResult result = sys::receive(connection->fd(), buffer_.data(), buffer_.size());
  switch (result.status) {
    case sys::IoStatus::kDone:
      counters_->add(Counter::kBytesReceivedTotal, result.bytes);
      if (hooks_ == nullptr) touch(connection);
      protocols_[connection->protocol]->on_bytes(*this, connection, buffer_.data(), result.bytes);
      return;
    case sys::IoStatus::kAgain:
      return;
    case sys::IoStatus::kEnd:
      // Comet may still owe; of the others one that owes does not read.
      if (hooks_ != nullptr && hooks_->on_end(connection)) return;
      close(connection, CloseCause::kPeer);
      return;
    case sys::IoStatus::kFailed:
      close(connection, CloseCause::kReset);
      return;
  }
}

void Transport::send(Connection* connection, const uint8_t* bytes, size_t size) {
  if (connection->state == ConnectionState::kOwing) {
    owe(connection, bytes, size);
    return;
  }
  const sys::IoResult result = sys::send(connection->fd(), bytes, size);
  if (result.status == sys::IoStatus::kFailed) {
    close(connection, CloseCause::kReset);
    return;
  }
  counters_->add(Counter::kBytesSentTotal, result.bytes);
  if (result.bytes == size) return;
  counters_->add(Counter::kShortWritesTotal);
  owe(connection, bytes + result.bytes, size - result.bytes);
}

void Transport::owe(Connection* connection, const uint8_t* bytes, size_t size) {
  const bool is_first = connection->outbox == nullptr;
  if (is_first) connection->outbox = new Outbox(bounds::kOutboxBytesMax);
  // Cannot be passed: while anything is owed nothing is read, and one read is the limit.
  MC_CHECK(connection->outbox->append(bytes, size));
  counters_->add(Counter::kSendQueueBytes, size);
  if (!is_first) return;
  counters_->add(Counter::kSendQueueConnections);
  change_state(connection, ConnectionState::kOwing);
  watch(connection, EV_WRITE);
}

void Transport::flush(Connection* connection) {
  Outbox* outbox = connection->outbox;
  const sys::IoResult result = sys::send(connection->fd(), outbox->data(), outbox->size());
  if (result.status == sys::IoStatus::kAgain) return;
  if (result.status == sys::IoStatus::kFailed) {
    close(connection, CloseCause::kReset);
    return;
  }
  touch(connection);
  outbox->consume(result.bytes);
  counters_->add(Counter::kBytesSentTotal, result.bytes);
  counters_->subtract(Counter::kSendQueueBytes, result.bytes);
  if (!outbox->is_empty()) return;
  delete outbox;
  connection->outbox = nullptr;
  counters_->subtract(Counter::kSendQueueConnections);
  change_state(connection, ConnectionState::kOpen);
  watch(connection, EV_READ);
}

void Transport::close(Connection* connection, CloseCause cause) {
  const int fd = connection->fd();
  // Stop, then close: see libev.h, rule 2.
  ev_io_stop(loop_, &connection->watcher);
  if (hooks_ != nullptr) {
    hooks_->on_close(connection);
  } else if (connection->outbox != nullptr) {
    counters_->subtract(Counter::kSendQueueConnections);
    counters_->subtract(Counter::kSendQueueBytes, connection->outbox->size());
    delete connection->outbox;
    connection->outbox = nullptr;
  }
  change_state(connection, ConnectionState::kFree);
  connections_.release(fd);
  if (!lingers(cause) || !lingering_close_.take(fd)) sys::close(fd);
  counters_->add(Counter::kClosedTotal);
  counters_->add(counter_of(cause));
  admission_->leave();
}

void Transport::disconnect(Connection* connection, CloseCause cause) {
  // It had its word of farewell, and goes with its last byte.
  if (connection->state == ConnectionState::kBusy && connection->session->is_finishing) return;
  const Protocol& protocol = protocol_of(*connection);
  if (protocol.on_disconnect == nullptr) return close(connection, cause);
  protocol.on_disconnect(*this, connection, cause);
}

/// Whether its time is up because it should have said something: a request, an answer to a ping, or
/// anything at all.
bool Transport::should_have_spoken(const Connection& connection) const {
  if (hooks_ == nullptr) return connection.state != ConnectionState::kOwing;
  const bool is_busy = connection.state == ConnectionState::kBusy;
  if (has_queued_output(connection) || (is_busy && connection.session->is_finishing)) return false;
  return protocol_of(connection).on_deadline == nullptr ||
         (is_busy && connection.session->awaits_pong);
}

/// Reads what may have come in time to a worker that stood still, or had thousands of others to
/// serve: the kernel has it, and closing would answer with a reset. Whether it is over with that,
/// or the time goes on.
bool Transport::is_heard(Connection* connection) {
  const uint32_t generation = connection->generation;
  read(connection);
  const bool is_gone =
      connection->generation != generation || connection->state == ConnectionState::kFree;
  return is_gone || !connection->is_due(now_);
}

void Transport::expire(Connection* connection) {
  if (should_have_spoken(*connection) && is_heard(connection)) return;
  if (hooks_ != nullptr && hooks_->on_expire(connection)) return;
  const Protocol& protocol = protocol_of(*connection);
  if (protocol.on_deadline == nullptr) return close(connection, CloseCause::kIdle);
  protocol.on_deadline(*this, connection);
}

void Transport::watch(Connection* connection, int events) {
  ev_io_stop(loop_, &connection->watcher);
  ev_io_modify(&connection->watcher, events);
  ev_io_start(loop_, &connection->watcher);
}

void Transport::touch(Connection* connection) {
  connection->deadline = static_cast<uint16_t>(now_ + idle_timeout_s_);
}

}  // namespace megacomet
