// JSON lines for one subscriber. See stream.h.
#include "protocol/stream.h"

#include <utility>

#include "connection/sender.h"
#include "pubsub/message_codec.h"

namespace megacomet {

namespace {

/// A client cannot send anything after its request.
void on_bytes(Services&, Connection*, uint8_t*, size_t) {}

Ref<Payload> encode(Services&, const Connection&, Message& message) {
  return message.encode_once(Encoding::kStream, encode_stream);
}

/// Reports a gap before the messages that are left, and otherwise the end of the replay.
void append_subscribed(const Replay& replay, std::string* out) {
  out->append("{\"type\":\"subscribed\",\"cursor\":");
  append_cursor(replay.is_lost ? replay.start() : replay.head, out);
  out->append(replay.is_lost ? ",\"recovered\":false}\n" : ",\"recovered\":true}\n");
}

void on_replay(Services& services, Connection* connection, const Replay& replay) {
  std::string bytes;
  if (replay.is_lost) {
    services.counters->add(Counter::kGapsTotal);
    append_subscribed(replay, &bytes);
  }
  for (const Ref<Message>& message : replay.messages) bytes.append(encode_stream(*message));
  if (replay.is_last && !replay.is_lost) append_subscribed(replay, &bytes);
  if (!bytes.empty()) services.sender->send(connection, make_payload(std::move(bytes)));
}

void on_deadline(Services& services, Connection* connection) {
  // An empty line, which readers of JSON lines ignore.
  static const Ref<Payload> kHeartbeat = make_payload("\n");
  services.counters->add(Counter::kHeartbeatsTotal);
  services.connections->set_deadline(connection, services.rules->heartbeat_s);
  services.sender->send(connection, kHeartbeat);
}

void on_disconnect(Services& services, Connection* connection, CloseCause cause, std::string_view) {
  services.subscriptions->unsubscribe(connection);
  services.sender->finish(connection, cause);
}

constexpr Protocol make_protocol() {
  Protocol protocol;
  protocol.name = "stream";
  protocol.on_bytes = on_bytes;
  protocol.on_deadline = on_deadline;
  protocol.on_disconnect = on_disconnect;
  protocol.encode = encode;
  protocol.on_replay = on_replay;
  protocol.message_is_heartbeat = true;
  return protocol;
}

}  // namespace

constexpr Protocol kStreamProtocol = make_protocol();

}  // namespace megacomet
