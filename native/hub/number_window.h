// Keeps the 32-bit positions of subscribers comparable with the 64-bit numbers of messages.
//
// A subscriber has the low 32 bits of the lowest message number that it still wants (cursor.h), and
// only a delivery moves them. The numbers count the messages of the whole server. So without this
// part a subscriber of a quiet channel would miss messages after 2^31 messages on other channels.
#pragma once

#include <cstdint>

#include "connection/connection.h"
#include "pubsub/fanout.h"

namespace megacomet {

class NumberWindow {
 public:
  NumberWindow(Slab<Connection>* connections, Fanout* fanout)
      : connections_(connections), fanout_(fanout) {}
  NumberWindow(const NumberWindow&) = delete;
  NumberWindow& operator=(const NumberWindow&) = delete;

  /// `next` is the lowest number that can still arrive from the manager. Call it before the message
  /// of that number is compared with any subscriber. Once in 2^30 messages it looks at every
  /// connection: 5 ms for a million. Numbers may skip any distance.
  void advance(uint64_t next) {
    if (next <= start_ || next - start_ < kStep) return;
    move(next);
  }

 private:
  /// Half of the distance that the comparison allows: the other half is for pending messages.
  static constexpr uint64_t kStep = uint64_t{1} << 30U;

  void move(uint64_t next);
  void raise(uint32_t channel, uint32_t* next_wanted, uint64_t next) const;

  Slab<Connection>* connections_;
  Fanout* fanout_;
  /// No subscriber wants a number below this, except messages that the fan-out has.
  uint64_t start_ = 0;
};

}  // namespace megacomet
