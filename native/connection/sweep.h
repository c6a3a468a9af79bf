// The pass over all deadlines, once a second. A connection has no timer of its own: the index of
// due records says which few must be visited.
// It also resets the count of pings that each may send in two seconds; see WatcherData.
#pragma once

#include <cstdint>

#include "connection/connection.h"
#include "connection/connection_owner.h"
#include "connection/due_index.h"
#include "os/slab.h"

namespace megacomet {

class Sweep {
 public:
  Sweep(Slab<Connection>* connections, DueIndex* due, ConnectionOwner* owner)
      : connections_(connections), due_(due), owner_(owner) {}

  /// Without any timeout the sweep is off.
  void set_on(bool on);

  /// Visits the connections whose deadline is reached.
  void tick(uint16_t now);

 private:
  void check(Connection* connection, uint16_t now);

  Slab<Connection>* connections_;
  DueIndex* due_;
  ConnectionOwner* owner_;
  uint16_t now_ = 0;
  bool is_on_ = false;
};

}  // namespace megacomet
