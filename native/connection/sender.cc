// Sending, queueing and flushing. See sender.h.
#include "connection/sender.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "base/check.h"
#include "connection/session.h"

namespace megacomet {

Sender::Sender(const Parts& parts, const Calls& calls)
    : parts_(parts), calls_(calls), limits_(parts.owner, parts.connections, parts.counters) {}

bool Sender::send_copy(Connection* connection, const uint8_t* bytes, size_t size) {
  size_t sent = 0;
  if (!connection->is_blocked) {
    const sys::IoResult result = calls_.send(connection->fd(), bytes, size);
    if (result.status == sys::IoStatus::kFailed) {
      parts_.owner->close(connection, CloseCause::kReset);
      return false;
    }
    parts_.counters->add(Counter::kBytesSentTotal, result.bytes);
    if (result.bytes == size) return true;
    parts_.counters->add(Counter::kShortWritesTotal);
    sent = result.bytes;
  }
  std::string rest(reinterpret_cast<const char*>(bytes) + sent, size - sent);
  const Part part{make_payload(std::move(rest)), SlowPolicy::kDisconnect, false};
  return queue(connection, part, 0);
  // The analyzer does not follow the count of Ref, which frees the payload with its last holder.
  // NOLINTNEXTLINE(clang-analyzer-cplusplus.NewDeleteLeaks)
}

bool Sender::send(Connection* connection, const Part& part) {
  if (connection == gathering_) {
    gathered_.push_back(part);
    return true;
  }
  if (connection->is_blocked) return queue(connection, part, 0);
  const size_t size = part.payload->size();
  const sys::IoResult result = calls_.send(connection->fd(), part.payload->data(), size);
  if (result.status == sys::IoStatus::kFailed) {
    parts_.owner->close(connection, CloseCause::kReset);
    return false;
  }
  parts_.counters->add(Counter::kBytesSentTotal, result.bytes);
  if (result.bytes == size) return true;
  parts_.counters->add(Counter::kShortWritesTotal);
  return queue(connection, part, result.bytes);
}

void Sender::gather(Connection* connection) {
  MC_CHECK(gathering_ == nullptr);
  gathering_ = connection;
}

void Sender::flush_gathered() {
  Connection* connection = gathering_;
  gathering_ = nullptr;
  // It was closed meanwhile.
  if (connection == nullptr) return;
  std::vector<Part> parts;
  parts.swap(gathered_);
  send_parts(connection, parts);
  // Keeps the vector's memory for the next connection.
  parts.clear();
  gathered_.swap(parts);
}

std::string Sender::take_gathered() {
  gathering_ = nullptr;
  std::string bytes;
  for (const Part& part : gathered_) {
    bytes.append(reinterpret_cast<const char*>(part.payload->data()), part.payload->size());
  }
  gathered_.clear();
  return bytes;
}

/// Sends all parts with as few calls as the kernel allows. Queues the rest part by part, because
/// each may be dropped alone.
void Sender::send_parts(Connection* connection, const std::vector<Part>& parts) {
  size_t at = 0;
  size_t offset = 0;
  while (at < parts.size() && offset == 0 && !connection->is_blocked) {
    std::array<iovec, bounds::kPartsTogetherMax> vectors;
    const size_t count = std::min(parts.size() - at, vectors.size());
    for (size_t index = 0; index < count; ++index) {
      Payload& payload = *parts[at + index].payload;
      vectors[index] = {const_cast<uint8_t*>(payload.data()), payload.size()};
    }
    const sys::IoResult result = calls_.send_parts(connection->fd(), vectors.data(), count);
    if (result.status == sys::IoStatus::kFailed) {
      return parts_.owner->close(connection, CloseCause::kReset);
    }
    parts_.counters->add(Counter::kBytesSentTotal, result.bytes);
    offset = result.bytes;
    const size_t end = at + count;
    for (; at < end && offset >= parts[at].payload->size(); ++at) {
      offset -= parts[at].payload->size();
    }
    if (at == end) continue;
    parts_.counters->add(Counter::kShortWritesTotal);
    break;
  }
  for (; at < parts.size(); ++at, offset = 0) {
    if (!queue(connection, parts[at], offset)) return;
  }
}

bool Sender::queue(Connection* connection, const Part& part, size_t offset) {
  Session* session = parts_.sessions->acquire(connection);
  const size_t size = part.payload->size() - offset;
  if (!limits_.make_worker_room(connection, size)) return false;
  if (connection->is_blocked) {
    size_t bytes_max = limits_.get().connection_bytes_max;
    if (protocol_of(*connection).pauses_reading) bytes_max += limits_.get().unread_bytes_max;
    const SlowPolicy policy = part.is_message ? part.policy : SlowPolicy::kDisconnect;
    if (!limits_.make_room(connection, size, bytes_max, policy)) return false;
  }
  session->send_queue.append(part.payload, offset, part.is_message);
  parts_.counters->add(Counter::kSendQueueBytes, size);
  if (!connection->is_blocked) block(connection);
  return true;
}

void Sender::block(Connection* connection) {
  connection->is_blocked = true;
  parts_.counters->add(Counter::kSendQueueConnections);
  parts_.owner->set_deadline(connection, timeouts_.write_s);
  const bool is_read = !connection->is_closing && !protocol_of(*connection).pauses_reading;
  parts_.owner->watch(connection, is_read ? EV_READ | EV_WRITE : EV_WRITE);
}

void Sender::on_writable(Connection* connection) {
  if (!connection->is_blocked) return parts_.owner->watch(connection, EV_READ);
  SendQueue& send_queue = connection->session->send_queue;
  while (!send_queue.is_empty()) {
    const sys::IoResult result =
        calls_.send(connection->fd(), send_queue.front(), send_queue.front_size());
    if (result.status == sys::IoStatus::kAgain) return;
    if (result.status == sys::IoStatus::kFailed) {
      return parts_.owner->close(connection, CloseCause::kReset);
    }
    const bool is_short = result.bytes < send_queue.front_size();
    send_queue.consume(result.bytes);
    parts_.counters->add(Counter::kBytesSentTotal, result.bytes);
    parts_.counters->subtract(Counter::kSendQueueBytes, result.bytes);
    parts_.owner->set_deadline(connection, timeouts_.write_s);
    if (is_short) return;
  }
  connection->is_blocked = false;
  parts_.counters->subtract(Counter::kSendQueueConnections);
  if (connection->is_closing) return parts_.owner->close(connection, CloseCause::kDone);
  parts_.owner->watch(connection, EV_READ);
  parts_.owner->set_deadline(connection, timeouts_.heartbeat_s);
  observer_->on_output_sent(connection);
  parts_.sessions->release(connection);
}

void Sender::finish(Connection* connection, CloseCause cause) {
  if (connection == gathering_) {
    const uint32_t generation = connection->generation;
    flush_gathered();
    if (connection->generation != generation) return;
  }
  if (!connection->is_blocked) return parts_.owner->close(connection, cause);
  if (connection->is_closing) return;
  connection->is_closing = true;
  connection->end_message();
  observer_->on_closing(connection);
  parts_.owner->set_deadline(connection, timeouts_.write_s);
  parts_.owner->watch(connection, EV_WRITE);
}

void Sender::postpone_heartbeat(Connection* connection) {
  if (!connection->is_blocked) parts_.owner->set_deadline(connection, timeouts_.heartbeat_s);
}

void Sender::forget(Connection* connection) {
  if (connection == gathering_) {
    gathering_ = nullptr;
    gathered_.clear();
  }
  if (!connection->is_blocked) return;
  connection->is_blocked = false;
  parts_.counters->subtract(Counter::kSendQueueConnections);
  parts_.counters->subtract(Counter::kSendQueueBytes, connection->session->send_queue.size());
}

}  // namespace megacomet
