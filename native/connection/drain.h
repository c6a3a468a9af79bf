// Closes all connections of a worker evenly over a time, so that the clients of a million
// connections do not all reconnect in one second.
#pragma once

#include <cstdint>
#include <string_view>

#include "connection/connection.h"
#include "connection/connection_owner.h"
#include "connection/services.h"
#include "os/slab.h"

namespace megacomet {

/// The reason that clients are sent during a drain.
inline constexpr char kShuttingDown[] = "server shutting down; reconnect shortly";

/// The reason that clients are sent while the server is cut off.
inline constexpr char kCutOff[] = "server cut off from its cluster; reconnect shortly";

/// The reason for a client that is closed by a drain or a cut.
[[nodiscard]] std::string_view departure_sentence(CloseCause cause);

/// Milliseconds until the server's drain ends; 0 before a drain.
[[nodiscard]] uint32_t drain_left_ms(const Services& services);

/// Milliseconds after which a client that was closed so should reconnect. Another server may serve
/// it, and this one tells it when to return while it drains or is cut off. Never while no server
/// may listen.
[[nodiscard]] uint32_t reconnect_in_departure_ms(const Services& services);

/// Milliseconds after which a client that is rejected during a drain should return: when the next
/// server listens.
[[nodiscard]] uint32_t return_after_drain_ms(const Services& services);

/// Milliseconds after which a client that is rejected by a server that is cut off should retry.
[[nodiscard]] uint32_t retry_cut_off_ms(const Services& services);

class DrainHandler {
 public:
  virtual void on_drained(uint32_t closed) = 0;

 protected:
  ~DrainHandler() = default;
};

class Drain {
 public:
  /// Closes with `cause`. `handler` may be null.
  Drain(struct ev_loop* loop,
        Slab<Connection>* connections,
        ConnectionOwner* owner,
        CloseCause cause,
        DrainHandler* handler);
  Drain(const Drain&) = delete;
  Drain& operator=(const Drain&) = delete;
  ~Drain();

  /// Begins; `duration_ms` 0 closes everything at the next tick. A second call is ignored.
  /// A connection that would lose queued output is left for last, and closed when the time is up.
  void start(uint32_t duration_ms);

  /// Leaves the connections that are still open. Another start() is possible.
  void stop();

 private:
  static void on_tick(struct ev_loop* loop, ev_timer* timer, int revents);
  void tick();
  /// A pass disconnects connections that lose no output, disconnects all, or closes all.
  enum class Pass : uint8_t { kIdle, kAll, kCut };
  void close_down_to(uint32_t left, Pass pass);

  struct ev_loop* loop_;
  Slab<Connection>* connections_;
  ConnectionOwner* owner_;
  CloseCause cause_;
  DrainHandler* handler_;
  ev_timer timer_;
  uint64_t started_ns_ = 0;
  uint64_t duration_ns_ = 0;
  /// Connections open when the drain began, and those that it has closed.
  uint32_t total_ = 0;
  uint32_t closed_ = 0;
  uint32_t position_ = 0;
};

}  // namespace megacomet
