// Dropping messages and closing slow connections. See send_limits.h.
#include "connection/send_limits.h"

#include <algorithm>
#include <vector>

#include "connection/session.h"

namespace megacomet {

bool SendLimits::fits(size_t size, uint64_t bytes_max) const {
  const uint64_t queued = counters_->get(Counter::kSendQueueBytes);
  return queued <= bytes_max && size <= bytes_max - queued;
}

bool SendLimits::make_worker_room(Connection* connection, size_t size) {
  if (fits(size, limits_.worker_bytes_max)) return true;
  const uint32_t generation = connection->generation;
  close_largest(size);
  if (connection->generation != generation) return false;
  if (fits(size, limits_.worker_bytes_max)) return true;
  close_for_memory(connection);
  return false;
}

/// Closes the connections with the most queued output, until `size` more bytes fit with an eighth
/// of the limit to spare: the pass over all records then repeats only after as much was added
/// again.
void SendLimits::close_largest(size_t size) {
  struct Blocked {
    size_t bytes;
    Connection* connection;
  };
  std::vector<Blocked> all;
  connections_->visit(0, connections_->capacity(), [&all](Connection& connection) {
    if (connection.is_blocked) {
      all.push_back({connection.session->send_queue.size(), &connection});
    }
    return true;
  });
  std::sort(all.begin(), all.end(), [](const Blocked& one, const Blocked& other) {
    return one.bytes > other.bytes;
  });
  for (const Blocked& one : all) {
    if (fits(size, limits_.worker_bytes_max / 8 * 7)) return;
    close_for_memory(one.connection);
  }
}

void SendLimits::close_for_memory(Connection* connection) {
  counters_->add(Counter::kSendQueueFullTotal);
  owner_->close(connection, CloseCause::kSlow);
}

bool SendLimits::make_room(Connection* connection,
                           size_t size,
                           size_t bytes_max,
                           SlowPolicy policy) {
  SendQueue& send_queue = connection->session->send_queue;
  if (send_queue.size() + size <= bytes_max) return true;
  if (policy != SlowPolicy::kDisconnect) {
    const bool is_latest_only = policy == SlowPolicy::kLatestOnly;
    const size_t before = send_queue.size();
    const size_t keep = is_latest_only ? 0 : bytes_max - std::min(size, bytes_max);
    counters_->add(is_latest_only ? Counter::kDroppedReplacedTotal : Counter::kDroppedOldestTotal,
                   send_queue.drop_oldest(keep));
    counters_->subtract(Counter::kSendQueueBytes, before - send_queue.size());
    if (send_queue.size() + size <= bytes_max) return true;
  }
  owner_->close(connection, CloseCause::kSlow);
  return false;
}

}  // namespace megacomet
