// One slice of the pass over all connections. See sweep.h.
#include "connection/sweep.h"

#include <algorithm>

namespace megacomet {

void Sweep::tick(uint16_t now) {
  if (timeout_s_ == 0) return;
  const uint32_t slices = std::max(1U, timeout_s_ / 4);
  const uint32_t capacity = connections_->capacity();
  const uint32_t slice = (capacity + slices - 1) / slices;
  const uint32_t end = std::min(capacity, position_ + slice);
  connections_->visit(position_, end, [this, now](Connection& connection) {
    if (connection.state == ConnectionState::kFree) return true;
    connection.forget_controls();
    // Checked first: heartbeats would otherwise postpone it.
    if (connection.is_message_late(now)) {
      owner_->disconnect(&connection, CloseCause::kMessageTimeout, {});
    } else if (connection.is_due(now)) {
      owner_->expire(&connection);
    }
    return true;
  });
  position_ = end == capacity ? 0 : end;
}

}  // namespace megacomet
