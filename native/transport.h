// The accepted connections of one worker: adopting, reading, sending, closing. Level 6.
// Knows no protocol but its table, and no listener.
#pragma once

#include <array>
#include <cstdint>

#include "admission.h"
#include "bounds.h"
#include "connection.h"
#include "protocol.h"
#include "services.h"
#include "slab.h"

namespace megacomet {

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

  /// Seconds without a byte after which a connection is closed; 0 for never. A new value counts
  /// from now on for the connections that are open.
  void set_idle_timeout(uint32_t seconds);

  /// Takes an accepted descriptor, which admission has counted in. No allocation.
  void adopt(int fd, uint8_t protocol);

  /// Whether there is a record for this descriptor.
  [[nodiscard]] bool fits(int fd) const {
    return static_cast<uint32_t>(fd) < connections_.capacity();
  }

  /// Once a second: the time for deadlines, and memory that closed connections left behind.
  void tick(uint16_t now);

  void send(Connection* connection, const uint8_t* bytes, size_t size) override;
  void close(Connection* connection, CloseCause cause) override;
  Counters& counters() override { return *counters_; }

  [[nodiscard]] Slab<Connection>& connections() { return connections_; }

 private:
  static void on_event(struct ev_loop* loop, ev_io* watcher, int revents);
  void read(Connection* connection);
  void flush(Connection* connection);
  void owe(Connection* connection, const uint8_t* bytes, size_t size);
  void watch(Connection* connection, int events);
  void touch(Connection* connection);

  struct ev_loop* loop_;
  Admission* admission_;
  Counters* counters_;
  const Protocol* const* protocols_;
  Slab<Connection> connections_;
  uint32_t generation_ = 0;
  uint32_t idle_timeout_s_ = 0;
  uint16_t now_ = 0;
  std::array<uint8_t, bounds::kReadBytesMax> buffer_;
};

}  // namespace megacomet
