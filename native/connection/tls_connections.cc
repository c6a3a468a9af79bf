// Handshakes, records and their memory. See tls_connections.h.
#include "connection/tls_connections.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/check.h"
#include "tls/self_test.h"

namespace megacomet {

namespace {

/// Moves up to `bytes_max` bytes from the front of the parts to `taken`. Returns their number.
size_t take_parts(
    iovec** parts, size_t* count, size_t bytes_max, iovec* taken, size_t* taken_count) {
  size_t bytes = 0;
  *taken_count = 0;
  while (*count > 0 && bytes < bytes_max && *taken_count < bounds::kPartsTogetherMax) {
    iovec& part = **parts;
    const size_t size = std::min(part.iov_len, bytes_max - bytes);
    taken[(*taken_count)++] = {part.iov_base, size};
    bytes += size;
    part.iov_base = static_cast<uint8_t*>(part.iov_base) + size;
    part.iov_len -= size;
    if (part.iov_len > 0) break;
    ++*parts;
    --*count;
  }
  return bytes;
}

}  // namespace

std::string TlsConnections::configure(const frame::Tls& command) {
  const size_t count = command.chains.size();
  const Numbers& owners = command.owners;
  const bool is_consistent =
      count > 0 && command.keys.size() == count && command.names.size() == owners.size() &&
      std::all_of(owners.begin(), owners.end(), [count](uint64_t one) { return one < count; });
  if (!is_consistent) return "invalid Tls frame";
  const OpenSslTls* functions = find_openssl_tls();
  if (functions == nullptr) {
    return std::string("this build of Node.js does not export ") + missing_openssl_tls_function();
  }
  const TlsSettings settings{command.tls12_connections_max > 0,
                             command.groups,
                             command.ciphers,
                             command.suites,
                             command.client_ca,
                             ticket_keys_.get()};
  if (records_ == nullptr) {
    std::string reason = test_tls(*functions, command.chains[0], command.keys[0], settings);
    if (!reason.empty()) return reason;
    records_ = std::make_unique<TlsRecords>(*functions);
  }
  if (!records_->is_ready()) return "OpenSSL lacks an algorithm or memory";
  auto certificates = make_ref<TlsCertificates>(*functions);
  for (size_t index = 0; index < count; ++index) {
    std::string reason = certificates->add(command.chains[index], command.keys[index], settings);
    if (!reason.empty()) return reason;
  }
  for (size_t index = 0; index < owners.size(); ++index) {
    certificates->name(command.names[index], owners[index]);
  }
  // Handshakes under way keep the old ones.
  certificates_ = std::move(certificates);
  tls12_connections_max_ = command.tls12_connections_max;
  demands_certificates_ = !command.client_ca.empty();
  return "";
}

std::string TlsConnections::set_ticket_keys(frame::TlsTickets* command) {
  const OpenSslTls* functions = find_openssl_tls();
  if (functions == nullptr) return "TLS is not possible in this process";
  if (ticket_keys_ == nullptr) ticket_keys_ = std::make_unique<TicketKeys>(*functions);
  const bool is_set = ticket_keys_->set(command->keys.bytes);
  functions->OPENSSL_cleanse(command->keys.bytes.data(), command->keys.bytes.size());
  return is_set ? "" : "invalid TlsTickets frame, or OpenSSL lacks an algorithm";
}

bool TlsConnections::reserve(uint32_t capacity) {
  if (!is_on()) return true;
  if (!states_.map(capacity)) return false;
  states_.hide_from_dumps();
  return true;
}

bool TlsConnections::may_shake(const Connection& connection) {
  const auto found = handshakes_.find(connection.fd());
  MC_CHECK(found != handshakes_.end());
  Shaking& shaking = found->second;
  if (shaking.room == Room::kTaken || rooms_ < bounds::kTlsHandshakesMax) return true;
  if (shaking.room == Room::kWaiting) return false;
  shaking.room = Room::kWaiting;
  waiting_.push_back(name_of(connection));
  counters_->add(Counter::kTlsHandshakesDelayedTotal);
  return false;
}

bool TlsConnections::take_waiting(ConnectionName* name) {
  if (waiting_.empty() || rooms_ >= bounds::kTlsHandshakesMax) return false;
  *name = waiting_.front();
  waiting_.pop_front();
  return true;
}

void TlsConnections::keep_room(const Connection& connection) {
  take_room(&handshakes_[connection.fd()]);
}

void TlsConnections::take_room(Shaking* shaking) {
  if (shaking->room == Room::kTaken) return;
  shaking->room = Room::kTaken;
  ++rooms_;
}

void TlsConnections::end(Handshakes::iterator found) {
  if (found->second.room == Room::kTaken) --rooms_;
  if (found->second.handshake != nullptr) counters_->subtract(Counter::kTlsHandshakes);
  if (found->second.is_tls12) counters_->subtract(Counter::kTls12Connections);
  handshakes_.erase(found);
}

TlsConnections::Step TlsConnections::shake(Connection* connection,
                                           const uint8_t* bytes,
                                           size_t size) {
  const auto found = handshakes_.find(connection->fd());
  MC_CHECK(found != handshakes_.end());
  if (found->second.handshake == nullptr) {
    found->second.handshake = std::make_unique<TlsHandshake>(certificates_);
    take_room(&found->second);
    counters_->add(Counter::kTlsHandshakes);
    objects_peak_ = std::max(objects_peak_, objects());
  }
  TlsHandshake& handshake = *found->second.handshake;
  Step step{HandshakeStatus::kFailed, {}, {}, {}};
  if (!handshake.is_ready()) return step;
  step.status = feed(&found->second, bytes, size);
  step.output = handshake.output();
  if (step.status != HandshakeStatus::kDone) return step;
  step.rest = handshake.rest();
  if (demands_certificates_) step.certificate = handshake.client_certificate();
  const bool is_resumed = handshake.is_resumed();
  connection->is_sealed = settle(&found->second, connection->fd());
  if (!connection->is_sealed) step.status = HandshakeStatus::kFailed;
  if (connection->is_sealed && is_resumed) counters_->add(Counter::kTlsResumedTotal);
  end(found);
  return step;
}

/// Gives bytes to OpenSSL. A peer that uses TLS 1.2 is counted from its first message, so that none
/// is beyond the limit.
HandshakeStatus TlsConnections::feed(Shaking* shaking, const uint8_t* bytes, size_t size) {
  TlsHandshake& handshake = *shaking->handshake;
  const bool has_room = counters_->get(Counter::kTls12Connections) < tls12_connections_max_;
  handshake.allow_tls12(shaking->is_tls12 || has_room);
  const HandshakeStatus status = handshake.feed(bytes, size);
  if (!shaking->is_tls12 && handshake.is_tls12()) {
    shaking->is_tls12 = true;
    counters_->add(Counter::kTls12Connections);
  }
  if (handshake.is_version_rejected()) counters_->add(Counter::kTls12RejectedTotal);
  return status;
}

/// Keeps the state of a connection after its handshake. False if OpenSSL did not tell all secrets.
bool TlsConnections::settle(Shaking* shaking, int fd) {
  SslOwner session;
  if (!records_->begin(shaking->handshake.get(), states_.occupy(fd), &session)) {
    states_.release(fd);
    return false;
  }
  if (session != nullptr) tls12_sessions_[fd] = std::move(session);
  // The connection is counted from now on.
  shaking->is_tls12 = false;
  return true;
}

TlsInput TlsConnections::read(const Connection& connection, uint8_t* bytes, size_t size) {
  TlsState* state = states_.at(connection.fd());
  return records_->read(state, session_of(connection.fd(), *state), bytes, size, minute_);
}

sys::IoResult TlsConnections::send(
    const Connection& connection, iovec* parts, size_t count, SendCall call, std::string* rest) {
  TlsState* state = states_.at(connection.fd());
  SSL* session = session_of(connection.fd(), *state);
  const size_t content_bytes_max = TlsRecords::content_bytes_max(*state);
  std::array<iovec, bounds::kPartsTogetherMax> taken;
  size_t taken_count = 0;
  size_t sealed = 0;
  while (count > 0) {
    const size_t size = take_parts(&parts, &count, content_bytes_max, taken.data(), &taken_count);
    const size_t record = records_->seal(state, session, taken.data(), taken_count, out_.data());
    if (record == 0) return {sys::IoStatus::kFailed, 0, EPIPE};
    const sys::IoResult result = call(connection.fd(), out_.data(), record);
    if (result.status == sys::IoStatus::kFailed) return result;
    sealed += size;
    if (result.bytes == record) continue;
    rest->assign(reinterpret_cast<const char*>(out_.data()) + result.bytes, record - result.bytes);
    break;
  }
  return {sys::IoStatus::kDone, sealed, 0};
}

void TlsConnections::send_alert(const Connection& connection, TlsAlert alert, SendCall call) {
  TlsState* state = states_.at(connection.fd());
  SSL* session = session_of(connection.fd(), *state);
  const size_t size = records_->seal_alert(state, session, alert, out_.data());
  if (size > 0) static_cast<void>(call(connection.fd(), out_.data(), size));
}

void TlsConnections::forget(Connection* connection) {
  const auto found = handshakes_.find(connection->fd());
  if (found != handshakes_.end()) end(found);
  if (!connection->is_sealed) return;
  connection->is_sealed = false;
  TlsState* state = states_.at(connection->fd());
  if (state->suite == TlsSuite::kNone) {
    tls12_sessions_.erase(connection->fd());
    counters_->subtract(Counter::kTls12Connections);
  }
  records_->forget(state);
  states_.release(connection->fd());
}

/// Returns memory to the kernel when most objects of OpenSSL are gone: malloc keeps that of a storm
/// of handshakes.
void TlsConnections::tick(uint16_t now) {
  minute_ = static_cast<uint8_t>(now / 60);
  const size_t gone = objects_peak_ - std::min(objects_peak_, objects());
  if (gone < std::max(bounds::kTlsStormMin, objects_peak_ / 2)) return;
  objects_peak_ = objects();
  sys::trim_heap();
}

}  // namespace megacomet
