// Delivery of published messages: from the channel through the fan-out to each subscriber.
// Three rules: a message goes only to the subscribers of its channel at that time, none of them
// receives it twice, and each receives messages in the order of their numbers.
#pragma once

#include <cstdint>
#include <vector>

#include "connection/connection.h"
#include "connection/protocol.h"
#include "hub/number_window.h"
#include "hub/sequence.h"
#include "pubsub/channels.h"
#include "pubsub/fanout.h"

namespace megacomet {

class Delivery final : public FanoutHandler {
 public:
  struct Parts {
    Slab<Connection>* connections;
    Channels* channels;
    Fanout* fanout;
    Counters* counters;
    Sequence* sequence;
    NumberWindow* window;
    Services* services;
    const Protocol* const* protocols;
  };

  explicit Delivery(const Parts& parts) : parts_(parts) {}
  Delivery(const Delivery&) = delete;
  Delivery& operator=(const Delivery&) = delete;

  /// A message of the manager's stream, for all its subscribers.
  void publish(const Ref<Message>& message);

  /// Messages up to `number` are gone. Every subscriber that has not received all of them gets one
  /// notice, spread over `spread_ms`.
  void report_loss(uint64_t number, uint32_t spread_ms);

  /// Sends every pending message of a connection now, before others and without their spread. May
  /// close the connection.
  void flush(Connection* connection);

  /// Encodes a message for one connection and sends it.
  void send(Connection* connection, Message& message);

 private:
  /// A message that one subscriber has not received.
  struct Pending {
    uint32_t channel;
    Ref<Message> message;
  };

  void on_fanout(uint32_t channel, uint32_t fd, Message& message) override;
  [[nodiscard]] uint32_t fds_end() const override { return parts_.connections->end(); }
  [[nodiscard]] bool advance(uint64_t number);
  void flush_pending(Connection* connection, uint64_t number);
  [[nodiscard]] std::vector<Pending> find_pending(const Connection& connection) const;
  [[nodiscard]] static bool has_all(const Connection& connection, uint64_t number);
  [[nodiscard]] static bool take(Connection* connection, uint32_t channel, uint64_t number);
  void deliver(Connection* connection, Message& message);
  [[nodiscard]] const Protocol& protocol_of(const Connection& connection) const {
    return *parts_.protocols[connection.protocol];
  }

  Parts parts_;
};

}  // namespace megacomet
