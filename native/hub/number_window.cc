// Raising the positions of all subscribers. See number_window.h.
#include "hub/number_window.h"

#include <algorithm>

#include "codec/cursor.h"
#include "connection/session.h"

namespace megacomet {

void NumberWindow::move(uint64_t next) {
  // A message that waits in the fan-out while the numbers skip far ahead could not be compared with
  // the messages after it.
  if (fanout_->unfinished() > 0 && fanout_->lowest_number() + kStep < next) fanout_->finish();
  connections_->visit(0, connections_->capacity(), [this, next](Connection& connection) {
    if (connection.state == ConnectionState::kSubscribed) {
      uint32_t next_wanted = connection.next_wanted();
      raise(connection.only.channel, &next_wanted, next);
      connection.set_next_wanted(next_wanted);
    } else if (connection.is_busy()) {
      for (Subscription& one : connection.session->subscriptions) {
        raise(one.channel, &one.next_wanted, next);
      }
    }
    return true;
  });
  start_ = next;
}

/// To the first pending message that the subscriber wants; without one, to the next number.
void NumberWindow::raise(uint32_t channel, uint32_t* next_wanted, uint64_t next) const {
  uint64_t lowest = next;
  fanout_->visit(channel, [&](const Ref<Message>& message) {
    if (is_wanted(*next_wanted, message->number)) lowest = std::min(lowest, message->number);
  });
  *next_wanted = wants_from(lowest);
}

}  // namespace megacomet
