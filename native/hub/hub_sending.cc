// What Hub sends, and what a slow subscriber is owed. See hub.h. A part of Hub, which a
// file of its own keeps apart from who subscribes.
#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include <sys/uio.h>

#include "base/check.h"
#include "hub/hub.h"
#include "os/sys.h"

namespace megacomet {

bool Hub::on_end(Connection* connection) {
  if (connection->state != ConnectionState::kBusy) return false;
  // A closed browser tab is an end of the peer's side: it leaves at once, so that presence is true,
  // and gets what was on its way.
  unsubscribe(connection);
  finish(connection, CloseCause::kPeer);
  return true;
}

bool Hub::on_expire(Connection* connection) {
  if (connection->state != ConnectionState::kBusy) return false;
  Session* session = connection->session;
  if (session->send_queue.is_empty() && !session->is_finishing) return false;
  transport_->close(connection, CloseCause::kSlow);
  return true;
}

bool Hub::send(Connection* connection,
               const Ref<Payload>& payload,
               bool is_message,
               SlowPolicy policy) {
  if (connection == gathering_) {
    gathered_.push_back({payload, is_message, policy});
    return true;
  }
  if (has_queued_output(*connection)) return queue(connection, payload, 0, is_message, policy);
  const sys::IoResult result = sys::send(connection->fd(), payload->data(), payload->size());
  if (result.status == sys::IoStatus::kFailed) {
    transport_->close(connection, CloseCause::kReset);
    return false;
  }
  counters_->add(Counter::kBytesSentTotal, result.bytes);
  if (result.bytes == payload->size()) return true;
  counters_->add(Counter::kShortWritesTotal);
  return queue(connection, payload, result.bytes, is_message, policy);
}

void Hub::put_off_heartbeat(Connection* connection) {
  // The deadline of who owes something is that of its send queue.
  const bool is_idle =
      connection->state == ConnectionState::kOpen ||
      connection->state == ConnectionState::kSubscribed ||
      (connection->state == ConnectionState::kBusy && connection->session->send_queue.is_empty());
  if (is_idle) transport_->set_deadline(connection, rules_.heartbeat_s);
}

void Hub::gather(Connection* connection) {
  MC_CHECK(gathering_ == nullptr);
  gathering_ = connection;
}

void Hub::release() {
  Connection* connection = gathering_;
  gathering_ = nullptr;
  // It was closed meanwhile.
  if (connection == nullptr) return;
  std::vector<Gathered> parts;
  parts.swap(gathered_);
  send_parts(connection, parts);
  // For the next one: each time room of its own would be asked for, and given back.
  parts.clear();
  gathered_.swap(parts);
}

/// Sends all parts with as few calls as the kernel allows, and queues what it does not take, each
/// part for itself: they may be dropped one by one.
void Hub::send_parts(Connection* connection, const std::vector<Gathered>& parts) {
  size_t at = 0;
  size_t offset = 0;
  while (at < parts.size() && offset == 0 && !has_queued_output(*connection)) {
    std::array<iovec, bounds::kPartsTogetherMax> places;
    const size_t count = std::min(parts.size() - at, places.size());
    for (size_t index = 0; index < count; ++index) {
      Payload& payload = *parts[at + index].payload;
      places[index] = {const_cast<uint8_t*>(payload.data()), payload.size()};
    }
    const sys::IoResult result = sys::send_parts(connection->fd(), places.data(), count);
    if (result.status == sys::IoStatus::kFailed) {
      return transport_->close(connection, CloseCause::kReset);
    }
    counters_->add(Counter::kBytesSentTotal, result.bytes);
    offset = result.bytes;
    const size_t end = at + count;
    for (; at < end && offset >= parts[at].payload->size(); ++at) {
      offset -= parts[at].payload->size();
    }
    if (at == end) continue;
    counters_->add(Counter::kShortWritesTotal);
    break;
  }
  for (; at < parts.size(); ++at, offset = 0) {
    const auto& [payload, is_message, policy] = parts[at];
    if (!queue(connection, payload, offset, is_message, policy)) return;
  }
}

bool Hub::make_room(Connection* connection, size_t size, bool is_message, SlowPolicy policy) {
  SendQueue& send_queue = connection->session->send_queue;
  size_t most = rules_.send_queue_bytes_max;
  if (transport_->protocol_of(*connection).is_echo) {
    // What it has read already it must be able to answer: the end of a message, and more.
    most += size_t{rules_.message_bytes_max} + bounds::kReadBytesMax;
  }
  if (send_queue.size() + size <= most) return true;
  if (is_message && policy != SlowPolicy::kDisconnect) {
    const size_t before = send_queue.size();
    const size_t keep = policy == SlowPolicy::kLatestOnly ? 0 : most - std::min(size, most);
    const uint32_t dropped = send_queue.drop_oldest(keep);
    counters_->add(policy == SlowPolicy::kLatestOnly ? Counter::kDroppedReplacedTotal
                                                     : Counter::kDroppedOldestTotal,
                   dropped);
    counters_->subtract(Counter::kSendQueueBytes, before - send_queue.size());
    if (send_queue.size() + size <= most) return true;
  }
  transport_->close(connection, CloseCause::kSlow);
  return false;
}

/// Closes who is owed most, until `size` more bytes fit with an eighth of the limit to spare: the
/// look at all records is then repeated only after as much was added again.
void Hub::close_largest(size_t size) {
  struct Owed {
    size_t bytes;
    Connection* connection;
  };
  std::vector<Owed> all;
  Slab<Connection>& connections = transport_->connections();
  connections.visit(0, connections.capacity(), [&all](Connection& connection) {
    if (has_queued_output(connection))
      all.push_back({connection.session->send_queue.size(), &connection});
    return true;
  });
  std::sort(all.begin(), all.end(), [](const Owed& one, const Owed& other) {
    return one.bytes > other.bytes;
  });
  const uint64_t most = rules_.worker_send_queue_bytes_max / 8 * 7;
  for (const Owed& one : all) {
    if (counters_->get(Counter::kSendQueueBytes) + size <= most) return;
    close_for_memory(one.connection);
  }
}

void Hub::close_for_memory(Connection* connection) {
  counters_->add(Counter::kSendQueueFullTotal);
  transport_->close(connection, CloseCause::kSlow);
}

bool Hub::queue(Connection* connection,
                const Ref<Payload>& payload,
                size_t offset,
                bool is_message,
                SlowPolicy policy) {
  Session* session = this->session(connection);
  const bool is_first = session->send_queue.is_empty();
  const size_t size = payload->size() - offset;
  if (counters_->get(Counter::kSendQueueBytes) + size > rules_.worker_send_queue_bytes_max) {
    const uint32_t generation = connection->generation;
    close_largest(size);
    if (connection->generation != generation) return false;
    if (counters_->get(Counter::kSendQueueBytes) + size > rules_.worker_send_queue_bytes_max) {
      close_for_memory(connection);
      return false;
    }
  }
  if (!is_first && !make_room(connection, size, is_message, policy)) return false;
  session->send_queue.append(payload, offset, is_message);
  counters_->add(Counter::kSendQueueBytes, size);
  if (!is_first) return true;
  counters_->add(Counter::kSendQueueConnections);
  transport_->set_deadline(connection, rules_.write_timeout_s);
  const bool reads = !session->is_finishing && !transport_->protocol_of(*connection).is_echo;
  transport_->watch(connection, reads ? EV_READ | EV_WRITE : EV_WRITE);
  return true;
}

void Hub::on_writable(Connection* connection) {
  if (connection->state != ConnectionState::kBusy) return transport_->watch(connection, EV_READ);
  Session* session = connection->session;
  SendQueue& send_queue = session->send_queue;
  while (!send_queue.is_empty()) {
    const sys::IoResult result =
        sys::send(connection->fd(), send_queue.front(), send_queue.front_size());
    if (result.status == sys::IoStatus::kAgain) return;
    if (result.status == sys::IoStatus::kFailed) {
      return transport_->close(connection, CloseCause::kReset);
    }
    const bool is_short = result.bytes < send_queue.front_size();
    send_queue.consume(result.bytes);
    counters_->add(Counter::kBytesSentTotal, result.bytes);
    counters_->subtract(Counter::kSendQueueBytes, result.bytes);
    transport_->set_deadline(connection, rules_.write_timeout_s);
    if (is_short) return;
  }
  counters_->subtract(Counter::kSendQueueConnections);
  if (session->is_finishing) return transport_->close(connection, CloseCause::kDone);
  transport_->watch(connection, EV_READ);
  transport_->set_deadline(connection, rules_.heartbeat_s);
  if (session->question == Question::kPaused) return ask(connection);
  settle(connection);
}

void Hub::finish(Connection* connection, CloseCause cause) {
  if (connection == gathering_) {
    const uint32_t generation = connection->generation;
    release();
    if (connection->generation != generation) return;
  }
  if (!has_queued_output(*connection)) return transport_->close(connection, cause);
  if (connection->session->is_finishing) return;
  connection->session->is_finishing = true;
  connection->end_message();
  transport_->set_deadline(connection, rules_.write_timeout_s);
  transport_->watch(connection, EV_WRITE);
}

bool Hub::publish(const Connection& connection, frame::Message message) {
  if (control_->is_full()) return false;
  message.fd = static_cast<uint32_t>(connection.fd());
  message.generation = connection.generation;
  control_->send(message);
  return true;
}

void Hub::on_rejected(const frame::Rejected& order) {
  Connection* connection = find({order.fd, order.generation});
  if (connection == nullptr) return;
  const bool is_leaving =
      connection->state == ConnectionState::kBusy && connection->session->is_finishing;
  const Protocol& protocol = transport_->protocol_of(*connection);
  if (is_leaving || protocol.on_rejected == nullptr) return;
  protocol.on_rejected(*transport_, connection, order);
}

}  // namespace megacomet
