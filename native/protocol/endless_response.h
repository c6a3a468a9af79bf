// The part that the endless responses share: each sends messages to one subscriber until it closes.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "connection/protocol.h"
#include "connection/sender.h"
#include "pubsub/message.h"

namespace megacomet {

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
    services.sender->finish(connection, cause);
  }

 private:
  /// A client cannot send anything after its request.
  static void on_bytes(Services&, Connection*, uint8_t*, size_t) {}

  static Ref<Payload> encode(Services&, const Connection&, Message& message) {
    return message.encode_once(Format::kEncoding, Format::encode);
  }

  static void on_replay(Services& services, Connection* connection, const Replay& replay) {
    std::string bytes;
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
    services.sender->send(connection, kHeartbeat);
  }
};

}  // namespace megacomet
