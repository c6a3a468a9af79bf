// The periodic pass over all connections that closes those past their deadlines.
// It also resets the count of pings that each may send between two passes; see WatcherData.
// There is no timer per connection: each second one slice of the slab is checked, so that a pass
// takes a quarter of the timeout. Without a timeout nothing runs.
#pragma once

#include <cstdint>

#include "connection/connection.h"
#include "connection/connection_owner.h"
#include "os/slab.h"

namespace megacomet {

class Sweep {
 public:
  Sweep(Slab<Connection>* connections, ConnectionOwner* owner)
      : connections_(connections), owner_(owner) {}

  /// Seconds; 0 switches the sweep off. A connection is closed never earlier, and at most a quarter
  /// (for timeouts below four seconds: one second) later.
  void set_timeout(uint32_t seconds) { timeout_s_ = seconds; }

  /// Checks the slice of this second.
  void tick(uint16_t now);

 private:
  Slab<Connection>* connections_;
  ConnectionOwner* owner_;
  uint32_t timeout_s_ = 0;
  uint32_t position_ = 0;
};

}  // namespace megacomet
