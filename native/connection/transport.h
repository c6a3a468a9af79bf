// The accepted connections of one worker: registering, reading, timing and closing.
// Knows no protocol but its table, and no listener. Bytes leave through Sender.
#pragma once

#include <array>
#include <cstdint>

#include "base/bounds.h"
#include "connection/admission.h"
#include "connection/connection.h"
#include "connection/connection_owner.h"
#include "connection/due_index.h"
#include "connection/input_budget.h"
#include "connection/lingering_close.h"
#include "connection/protocol.h"
#include "connection/rejected_peers.h"
#include "connection/sender.h"
#include "connection/services.h"
#include "connection/sessions.h"
#include "connection/tls_connections.h"
#include "os/slab.h"
#include "schedule/mid_iteration.h"

namespace megacomet {

class Transport final : public ConnectionOwner {
 public:
  /// `protocols` outlives the transport; a connection names its protocol by index. An observer must
  /// be set before the first connection.
  Transport(struct ev_loop* loop,
            Admission* admission,
            Counters* counters,
            const Protocol* const* protocols);
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;
  ~Transport();

  /// Reserves a record for each descriptor below `capacity`. False when the kernel rejects.
  [[nodiscard]] bool reserve(uint32_t capacity) {
    if (!connections_.map(capacity) || !tls_.reserve(capacity)) return false;
    due_.reset(connections_.capacity(), now_);
    return true;
  }

  /// Seconds without a byte after which a connection of a protocol that uses the idle timeout
  /// closes; 0 for never. A new value counts from now on for open connections.
  void set_idle_timeout(uint32_t seconds);

  void set_observer(ConnectionObserver* observer);

  /// Counts this transport's events; its handler accepts in the middle of a long iteration.
  [[nodiscard]] MidIteration& mid_iteration() { return mid_iteration_; }

  /// Takes an accepted descriptor, which admission has counted in. Allocates nothing by itself.
  /// `word` is the result of ClientLimits::admit() for it, `flags` the listener_flag of its
  /// listener.
  void register_fd(int fd, uint8_t protocol, uint32_t word = 0, uint8_t flags = 0);

  /// Whether peers of this protocol get an answer when the server is full or drains.
  [[nodiscard]] bool answers_rejected(uint8_t protocol) const {
    return protocols_[protocol]->reject != nullptr;
  }
  /// Whether reject() can take one more peer of this protocol.
  [[nodiscard]] bool can_reject(uint8_t protocol) const {
    return !answers_rejected(protocol) || !rejected_peers_.is_full();
  }
  /// Ends an accepted descriptor that the server rejects, with its protocol's response if any. Only
  /// if can_reject() is true, unless a limit of its address is the reason. `flags` is the
  /// listener_flag of its listener, if the peer has not sent the header yet.
  void reject(int fd,
              uint8_t protocol,
              Rejection reason = Rejection::kServer,
              std::string_view request = {},
              uint8_t flags = 0);
  /// The same for a registered connection over a limit of its address, which has sent `request`.
  void reject(Connection* connection,
              uint8_t protocol,
              Rejection reason,
              std::string_view request) override;

  /// Whether there is a record for this descriptor.
  [[nodiscard]] bool fits(int fd) const {
    return static_cast<uint32_t>(fd) < connections_.capacity();
  }

  /// Once a second: the clock of deadlines, and memory that closed connections left behind.
  void tick(uint16_t now);

  void close(Connection* connection, CloseCause cause) override;
  void disconnect(Connection* connection, CloseCause cause, std::string_view reason) override;
  void expire(Connection* connection) override;
  [[nodiscard]] bool would_lose_output(const Connection& connection) const override;
  void watch(Connection* connection, int events) override;
  void set_deadline(Connection* connection, uint32_t seconds) override {
    const bool is_idle_timed = protocol_of(*connection).uses_idle_timeout;
    connection->deadline = static_cast<uint16_t>(now_ + (is_idle_timed ? idle_seconds() : seconds));
    due_.note(connection->fd(), connection->deadline);
  }
  void shorten_deadline(Connection* connection, uint32_t seconds) override {
    const auto tick = static_cast<uint16_t>(now_ + seconds);
    if (static_cast<int16_t>(tick - connection->deadline) >= 0) return;
    connection->deadline = tick;
    due_.note(connection->fd(), tick);
  }
  void begin_message(Connection* connection, uint32_t seconds) override {
    const auto tick = static_cast<uint16_t>(now_ + seconds);
    const auto more = static_cast<int16_t>(tick - connection->data().message_deadline);
    if (connection->has_begun_message() && more >= 0) return;
    connection->begin_message(tick);
    due_.note(connection->fd(), tick);
  }
  [[nodiscard]] bool count_control(Connection* connection) override {
    if (!connection->has_controls()) {
      due_.note(connection->fd(), static_cast<uint16_t>(now_ + 2));
    }
    return connection->count_control();
  }
  [[nodiscard]] bool keep_input(Connection* connection,
                                std::string_view bytes,
                                std::string* kept) override;
  void begin(Connection* connection, uint8_t protocol) override;
  void shake(Connection* connection, const uint8_t* bytes, size_t size) override;
  [[nodiscard]] bool is_shaking(const Connection& connection) const override {
    return tls_.is_shaking(connection);
  }
  void feed(Connection* connection, std::string bytes) override;

  [[nodiscard]] const Protocol& protocol_of(const Connection& connection) const {
    return *protocols_[connection.protocol];
  }
  [[nodiscard]] const Protocol* const* protocols() const { return protocols_; }
  [[nodiscard]] Slab<Connection>& connections() { return connections_; }
  [[nodiscard]] DueIndex& due_index() { return due_; }
  [[nodiscard]] Services& services() { return services_; }
  [[nodiscard]] Sender& sender() { return sender_; }
  [[nodiscard]] Sessions& sessions() { return sessions_; }
  [[nodiscard]] InputBudget& input_budget() { return input_budget_; }
  [[nodiscard]] TlsConnections& tls() { return tls_; }

 private:
  int forget(Connection* connection, CloseCause cause);
  [[nodiscard]] uint32_t idle_seconds() const {
    return idle_timeout_s_ == 0 ? bounds::kDeadlineSecondsMax : idle_timeout_s_;
  }
  [[nodiscard]] bool should_have_spoken(const Connection& connection) const;
  bool is_heard(Connection* connection);
  static void on_event(struct ev_loop* loop, ev_io* watcher, int revents);
  void dispatch(Connection* connection, int revents);
  void read(Connection* connection);
  void take_bytes(Connection* connection, uint8_t* bytes, size_t size);
  void close_with(Connection* connection, TlsAlert alert, CloseCause cause);
  [[nodiscard]] bool certify(Connection* connection, const ClientCertificate& certificate);
  void resume_handshakes();
  void read_sealed(Connection* connection, uint8_t* bytes, size_t size);
  void open_sealed(Connection* connection, uint8_t* bytes, size_t size);
  void end_sealed(Connection* connection, const TlsInput& input);

  struct ev_loop* loop_;
  Admission* admission_;
  Counters* counters_;
  const Protocol* const* protocols_;
  ConnectionObserver* observer_ = nullptr;
  MidIteration mid_iteration_;
  Slab<Connection> connections_;
  DueIndex due_;
  InputBudget input_budget_;
  Sessions sessions_;
  TlsConnections tls_;
  Sender sender_;
  Services services_;
  LingeringClose lingering_close_;
  RejectedPeers rejected_peers_;
  uint32_t generation_ = 0;
  uint32_t idle_timeout_s_ = 0;
  uint16_t now_ = 0;
  std::array<uint8_t, bounds::kReadBytesMax> buffer_;
};

}  // namespace megacomet
