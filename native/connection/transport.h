// The accepted connections of one worker: adopting, reading, sending, closing.
// Knows no protocol but its table, and no listener.
#pragma once

#include <array>
#include <cstdint>

#include "base/bounds.h"
#include "connection/admission.h"
#include "connection/connection.h"
#include "connection/lingering_close.h"
#include "connection/protocol.h"
#include "connection/services.h"
#include "os/slab.h"
#include "schedule/mid_iteration.h"

namespace megacomet {

/// What keeps sessions and subscriptions, where the server speaks comet.
class TransportHooks {
 public:
  /// A busy connection can be written to.
  virtual void on_writable(Connection* connection) = 0;
  /// It goes away: whatever it has is to be given back, and told.
  virtual void on_close(Connection* connection) = 0;
  /// The peer ended its side. True if the connection ends by itself, once all it is owed is sent.
  virtual bool on_end(Connection* connection) = 0;
  /// The deadline passed. True if that is all there is to do; else the protocol decides.
  virtual bool on_expire(Connection* connection) = 0;
  virtual CometServices* services() = 0;

 protected:
  ~TransportHooks() = default;
};

class Transport final : public Services {
 public:
  /// `protocols` outlives the transport; a connection names its protocol by index.
  Transport(struct ev_loop* loop,
            Admission* admission,
            Counters* counters,
            const Protocol* const* protocols);
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;
  ~Transport();

  /// Reserves a record for each descriptor below `capacity`. False when the kernel refuses.
  [[nodiscard]] bool reserve(uint32_t capacity) { return connections_.map(capacity); }

  /// Seconds without a byte after which a connection is closed; 0 for never. Comet's connections
  /// set deadlines of their own. A new value counts
  /// from now on for the connections that are open.
  void set_idle_timeout(uint32_t seconds);

  /// Where connections of comet are looked after; null without.
  void set_hooks(TransportHooks* hooks) { hooks_ = hooks; }

  /// Counts this transport's events; its handler accepts in the middle of a long iteration.
  [[nodiscard]] MidIteration& mid_iteration() { return mid_iteration_; }

  /// Takes an accepted descriptor, which admission has counted in. No allocation by itself; in a
  /// long turn a client of comet is read at once, and answered.
  void register_fd(int fd, uint8_t protocol);

  /// Ends an accepted descriptor that there is no room for, with its protocol's word if it has one.
  void reject(int fd, uint8_t protocol);

  /// Whether there is a record for this descriptor.
  [[nodiscard]] bool fits(int fd) const {
    return static_cast<uint32_t>(fd) < connections_.capacity();
  }

  /// Once a second: the time for deadlines, and memory that closed connections left behind.
  void tick(uint16_t now);

  void send(Connection* connection, const uint8_t* bytes, size_t size) override;
  void close(Connection* connection, CloseCause cause) override;
  void disconnect(Connection* connection, CloseCause cause) override;
  void expire(Connection* connection) override;
  Counters& counters() override { return *counters_; }
  CometServices* comet() override { return hooks_ == nullptr ? nullptr : hooks_->services(); }

  /// What to wait for from now on: EV_READ, EV_WRITE or both.
  void watch(Connection* connection, int events);
  void set_deadline(Connection* connection, uint32_t seconds) {
    connection->deadline = static_cast<uint16_t>(now_ + seconds);
  }
  void begin_message(Connection* connection, uint32_t seconds) {
    connection->begin_message(static_cast<uint16_t>(now_ + seconds));
  }
  [[nodiscard]] const Protocol& protocol_of(const Connection& connection) const {
    return *protocols_[connection.protocol];
  }

  [[nodiscard]] Slab<Connection>& connections() { return connections_; }

 private:
  [[nodiscard]] bool should_have_spoken(const Connection& connection) const;
  bool is_heard(Connection* connection);
  static void on_event(struct ev_loop* loop, ev_io* watcher, int revents);
  void dispatch(Connection* connection, int revents);
  void read(Connection* connection);
  void flush(Connection* connection);
  void owe(Connection* connection, const uint8_t* bytes, size_t size);
  void touch(Connection* connection);

  struct ev_loop* loop_;
  Admission* admission_;
  Counters* counters_;
  const Protocol* const* protocols_;
  TransportHooks* hooks_ = nullptr;
  MidIteration mid_iteration_;
  Slab<Connection> connections_;
  LingeringClose lingering_close_;
  uint32_t generation_ = 0;
  uint32_t idle_timeout_s_ = 0;
  uint16_t now_ = 0;
  std::array<uint8_t, bounds::kReadBytesMax> buffer_;
};

}  // namespace megacomet
