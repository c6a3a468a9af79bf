// The periodic pass over all connections that closes those past their deadlines.
// It also begins a new turn for what each may do between two looks; see Spare in connection.h.
// There is no timer per connection: a slice of the slab is looked at each second, so that all of it
// is seen once per quarter of the timeout, and nothing runs where no timeout is set.
#pragma once

#include <cstdint>

#include "connection/connection.h"
#include "connection/services.h"
#include "os/slab.h"

namespace megacomet {

class Sweep {
 public:
  Sweep(Slab<Connection>* connections, Services* services)
      : connections_(connections), services_(services) {}

  /// Seconds; 0 switches the sweep off. A connection is closed never earlier, and at most a quarter
  /// (for timeouts below four seconds: one second) later.
  void set_timeout(uint32_t seconds) { timeout_s_ = seconds; }

  /// Looks at the slice of this second.
  void tick(uint16_t now);

 private:
  Slab<Connection>* connections_;
  Services* services_;
  uint32_t timeout_s_ = 0;
  uint32_t position_ = 0;
};

}  // namespace megacomet
