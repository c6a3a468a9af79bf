// The part that the endless responses share: each sends messages to one subscriber until it closes.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "connection/protocol.h"
#include "connection/sender.h"
#include "connection/session.h"
#include "pubsub/message.h"

namespace megacomet {

/// Subscribes, and sends the head with the first part of the replay: a client that sees the
/// response begin misses no later message. While the manager is asked for the replay, nothing is
/// sent.
void open_endless_response(Services& services,
                           Connection* connection,
                           std::string head,
                           const std::vector<std::string>& channels,
                           const Cursor* since);

/// The head of the response, if it is not sent yet.
[[nodiscard]] std::string take_unsent_head(Connection* connection);

/// `Format` has these static members:
///
///     constexpr Encoding kEncoding;
///     std::string encode(const Message& message);
///     /// Reports a gap. Called before the messages of a replay.
///     void append_gap(const Replay& replay, std::string* out);
///     /// Reports the new cursor. Called after the messages of the last part of a replay.
///     void append_end(const Replay& replay, std::string* out);
///     /// Text that clients ignore.
///     std::string heartbeat();
template <typename Format>
class EndlessResponse {
 public:
  static constexpr Protocol protocol() {
    Protocol protocol;
    protocol.on_bytes = on_bytes;
    protocol.on_deadline = on_deadline;
    protocol.on_disconnect = on_disconnect;
    protocol.encode = encode;
    protocol.on_replay = on_replay;
    protocol.message_is_heartbeat = true;
    return protocol;
  }

  /// Closes when the queued messages are sent, without a final message.
  static void on_disconnect(Services& services,
                            Connection* connection,
                            CloseCause cause,
                            std::string_view) {
    std::string head = take_unsent_head(connection);
    if (!head.empty() && !services.sender->send(connection, make_payload(std::move(head)))) return;
    services.sender->finish(connection, cause);
  }

 private:
  /// A client cannot send anything after its request.
  static void on_bytes(Services&, Connection*, uint8_t*, size_t) {}

  static Ref<Payload> encode(Services&, const Connection&, Message& message) {
    return message.encode_once(Format::kEncoding, Format::encode);
  }

  static void on_replay(Services& services, Connection* connection, const Replay& replay) {
    std::string bytes = take_unsent_head(connection);
    if (replay.is_lost) {
      services.counters->add(Counter::kGapsTotal);
      Format::append_gap(replay, &bytes);
    }
    for (const Ref<Message>& message : replay.messages) bytes.append(Format::encode(*message));
    if (replay.is_last) Format::append_end(replay, &bytes);
    if (!bytes.empty()) services.sender->send(connection, make_payload(std::move(bytes)));
  }

  static void on_deadline(Services& services, Connection* connection) {
    static const Ref<Payload> kHeartbeat = make_payload(Format::heartbeat());
    services.counters->add(Counter::kHeartbeatsTotal);
    services.connections->set_deadline(connection, services.rules->heartbeat_s);
    // The manager has not answered for so long that a proxy would end the request.
    std::string head = take_unsent_head(connection);
    if (!head.empty() && !services.sender->send(connection, make_payload(std::move(head)))) return;
    services.sender->send(connection, kHeartbeat);
  }
};

}  // namespace megacomet
