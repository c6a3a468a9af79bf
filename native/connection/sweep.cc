// One pass over the deadlines. See sweep.h.
#include "connection/sweep.h"

#include <algorithm>

namespace megacomet {

void Sweep::set_on(bool on) {
  // While it was off, the index grew older than its ticks can express.
  if (on && !is_on_) due_->reset(now_);
  is_on_ = on;
}

void Sweep::tick(uint16_t now) {
  now_ = now;
  if (!is_on_) return;
  const uint32_t capacity = connections_->capacity();
  for (uint32_t group = 0; group < due_->groups(); ++group) {
    if (!due_->take_due(group, now)) continue;
    const uint32_t first = group * DueIndex::kRecords;
    connections_->visit(
        first, std::min(capacity, first + DueIndex::kRecords), [this, now](Connection& connection) {
          if (connection.state != ConnectionState::kFree) check(&connection, now);
          return true;
        });
  }
}

void Sweep::check(Connection* connection, uint16_t now) {
  const int fd = connection->fd();
  if (now % 2 == 0) connection->forget_controls();
  // Checked first: heartbeats would otherwise postpone it.
  if (connection->is_message_late(now)) {
    owner_->disconnect(connection, CloseCause::kMessageTimeout, {});
  } else if (connection->has_reached_deadline(now)) {
    owner_->expire(connection);
  }
  if (connection->state == ConnectionState::kFree) return;
  due_->note(fd, connection->deadline);
  if (connection->has_begun_message()) due_->note(fd, connection->data().message_deadline);
  if (connection->has_controls()) due_->note(fd, static_cast<uint16_t>(now + 1));
}

}  // namespace megacomet
