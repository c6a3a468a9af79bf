// Sending, queueing and flushing. See sender.h.
#include "connection/sender.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "base/check.h"

namespace megacomet {

Sender::Sender(const Parts& parts, const Calls& calls)
    : parts_(parts), calls_(calls), limits_(parts.owner, parts.connections, parts.counters) {}

/// Sends parts now, sealed where the connection is. The result has the bytes of the parts that are
/// gone; those of a record that the kernel did not take whole are kept.
sys::IoResult Sender::transmit(Connection* connection, iovec* parts, size_t count) {
  sys::IoResult result{};
  if (connection->is_sealed) {
    std::string rest;
    result = parts_.tls->send(*connection, parts, count, calls_.send, &rest);
    if (!rest.empty()) keep_sealed(connection, rest);
  } else if (count == 1) {
    result = calls_.send(connection->fd(), parts->iov_base, parts->iov_len);
  } else {
    result = calls_.send_parts(connection->fd(), parts, count);
  }
  if (!close_failed(connection, result)) {
    parts_.counters->add(Counter::kBytesSentTotal, result.bytes);
  }
  return result;
}

/// Closes the connection if its kernel call failed; true if it did.
bool Sender::close_failed(Connection* connection, const sys::IoResult& result) {
  if (result.status != sys::IoStatus::kFailed) return false;
  parts_.owner->close(connection, CloseCause::kReset);
  return true;
}

/// The same for one part. False if that closed the connection; `sent` gets the bytes that are gone.
bool Sender::transmit_one(Connection* connection, const uint8_t* bytes, size_t size, size_t* sent) {
  iovec part{const_cast<uint8_t*>(bytes), size};
  const sys::IoResult result = transmit(connection, &part, 1);
  *sent = result.bytes;
  if (result.status == sys::IoStatus::kFailed) return false;
  if (result.bytes < size || has_sealed_output(*connection)) {
    parts_.counters->add(Counter::kShortWritesTotal);
  }
  return true;
}

/// Keeps sealed bytes for on_writable(), which sends them before the send queue.
void Sender::keep_sealed(Connection* connection, std::string_view rest) {
  Session* session = parts_.sessions->acquire(connection);
  parts_.counters->add(Counter::kSendQueueBytes, rest.size());
  session->sealed_output += rest;
  if (!connection->is_blocked) block(connection);
}

bool Sender::send_sealed(Connection* connection, std::string bytes) {
  sys::IoResult result{sys::IoStatus::kDone, 0, 0};
  if (!connection->is_blocked) {
    result = calls_.send(connection->fd(), bytes.data(), bytes.size());
    if (close_failed(connection, result)) return false;
  }
  bytes.erase(0, result.bytes);
  if (!bytes.empty()) keep_sealed(connection, bytes);
  return true;
}

bool Sender::send_copy(Connection* connection, const uint8_t* bytes, size_t size) {
  size_t sent = 0;
  if (!connection->is_blocked) {
    if (!transmit_one(connection, bytes, size, &sent)) return false;
    if (sent == size) return true;
  }
  std::string rest(reinterpret_cast<const char*>(bytes) + sent, size - sent);
  const Part part{make_payload(std::move(rest)), SlowPolicy::kDisconnect, false};
  return queue(connection, part, 0, sent > 0);
  // The analyzer does not follow the count of Ref, which frees the payload with its last holder.
  // NOLINTNEXTLINE(clang-analyzer-cplusplus.NewDeleteLeaks)
}

bool Sender::send(Connection* connection, const Part& part) {
  if (connection == gathering_) {
    gathered_.push_back(part);
    return true;
  }
  if (connection->is_blocked) return queue(connection, part, 0, false);
  const size_t size = part.payload->size();
  size_t sent = 0;
  if (!transmit_one(connection, part.payload->data(), size, &sent)) return false;
  return sent == size || queue(connection, part, sent, sent > 0);
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
    const sys::IoResult result = transmit(connection, vectors.data(), count);
    if (result.status == sys::IoStatus::kFailed) return;
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
    if (!queue(connection, parts[at], offset, offset > 0)) return;
  }
}

/// Queues a part from `offset`. A part that `is_begun` is queued at any limit of the connection:
/// the peer has its beginning.
bool Sender::queue(Connection* connection, const Part& part, size_t offset, bool is_begun) {
  Session* session = parts_.sessions->acquire(connection);
  const size_t size = part.payload->size() - offset;
  if (!limits_.make_worker_room(connection, size)) return false;
  if (connection->is_blocked && !is_begun) {
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

/// Sends the records that are sealed already. False if that closed the connection, or the kernel
/// takes no more.
bool Sender::flush_sealed(Connection* connection) {
  std::string& sealed = connection->session->sealed_output;
  if (sealed.empty()) return true;
  const sys::IoResult result = calls_.send(connection->fd(), sealed.data(), sealed.size());
  if (close_failed(connection, result)) return false;
  sealed.erase(0, result.bytes);
  parts_.counters->subtract(Counter::kSendQueueBytes, result.bytes);
  if (result.bytes > 0) parts_.owner->set_deadline(connection, timeouts_.write_s);
  return sealed.empty();
}

void Sender::on_writable(Connection* connection) {
  if (!connection->is_blocked) return parts_.owner->watch(connection, EV_READ);
  if (!flush_sealed(connection)) return;
  SendQueue& send_queue = connection->session->send_queue;
  while (!send_queue.is_empty()) {
    iovec part{const_cast<uint8_t*>(send_queue.front()), send_queue.front_size()};
    const sys::IoResult result = transmit(connection, &part, 1);
    if (result.status != sys::IoStatus::kDone) return;
    const bool is_short = result.bytes < send_queue.front_size();
    send_queue.consume(result.bytes);
    parts_.counters->subtract(Counter::kSendQueueBytes, result.bytes);
    parts_.owner->set_deadline(connection, timeouts_.write_s);
    if (is_short || has_sealed_output(*connection)) return;
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
  const Session& session = *connection->session;
  parts_.counters->subtract(Counter::kSendQueueBytes,
                            session.send_queue.size() + session.sealed_output.size());
}

}  // namespace megacomet
