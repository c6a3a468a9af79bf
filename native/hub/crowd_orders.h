// Orders of the application about many connections, such as all of a user. Each loop iteration
// spends one slice of time on them: to disconnect 8,000 connections at once takes 300 ms.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <vector>

#include "connection/connection.h"
#include "os/slab.h"
#include "os/sys.h"

namespace megacomet {

class CrowdOrders {
 public:
  /// It may close any connection.
  using Action = std::function<void(Connection*)>;

  /// `clock` gives monotonic nanoseconds.
  explicit CrowdOrders(Slab<Connection>* connections, uint64_t (*clock)() = sys::monotonic_ns)
      : connections_(connections), clock_(clock) {}
  CrowdOrders(const CrowdOrders&) = delete;
  CrowdOrders& operator=(const CrowdOrders&) = delete;

  /// Begins a loop iteration, which has another slice.
  void begin_iteration() { end_ns_ = 0; }

  /// Calls `action` for those of the connections that are open at its turn, after all earlier
  /// orders: now, and in later iterations where the slice of this one is too short.
  void add(std::vector<ConnectionName> names, Action action);

  /// Goes on until the slice of this iteration ends.
  void run();

  /// Whether an order has not ended. The manager's later frames must wait: a message that was
  /// published after a revocation is not for the connections that it ends.
  [[nodiscard]] bool is_pending() const { return !orders_.empty(); }

 private:
  struct Order {
    std::vector<ConnectionName> names;
    Action action;
    size_t next;
  };

  [[nodiscard]] bool run(Order* order);

  Slab<Connection>* connections_;
  uint64_t (*clock_)();
  std::deque<Order> orders_;
  /// The end of this iteration's slice; 0 if it has not begun.
  uint64_t end_ns_ = 0;
};

}  // namespace megacomet
