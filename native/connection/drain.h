// Closing all connections of a worker evenly over a time.
// Evenly, so that the clients of a million connections do not all reconnect in one second.
#pragma once

#include <cstdint>

#include "connection/connection.h"
#include "connection/services.h"
#include "os/slab.h"

namespace megacomet {

class DrainHandler {
 public:
  virtual void on_drained(uint32_t closed) = 0;

 protected:
  ~DrainHandler() = default;
};

class Drain {
 public:
  Drain(struct ev_loop* loop,
        Slab<Connection>* connections,
        Services* services,
        DrainHandler* handler);
  Drain(const Drain&) = delete;
  Drain& operator=(const Drain&) = delete;
  ~Drain();

  /// Begins; `duration_ms` 0 closes everything at the next tick. A second call is ignored.
  /// A connection that still owes bytes is left for last, and cut when the time is up.
  void start(uint32_t duration_ms);

 private:
  static void on_tick(struct ev_loop* loop, ev_timer* timer, int revents);
  void tick();
  /// Whom a pass sees off: those that are owed nothing, all, or all without a farewell.
  enum class Pass : uint8_t { kIdle, kAll, kCut };
  void close_down_to(uint32_t left, Pass pass);

  struct ev_loop* loop_;
  Slab<Connection>* connections_;
  Services* services_;
  DrainHandler* handler_;
  ev_timer timer_;
  uint64_t started_ns_ = 0;
  uint64_t duration_ns_ = 0;
  /// Open when the drain began, and closed by it so far.
  uint32_t total_ = 0;
  uint32_t closed_ = 0;
  uint32_t position_ = 0;
};

}  // namespace megacomet
