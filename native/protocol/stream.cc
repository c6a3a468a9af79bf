// JSON lines for one subscriber. See protocol_stream.h.
#include "protocol/stream.h"

#include "pubsub/message_codec.h"

namespace megacomet {

namespace {

Ref<Payload> encoded(Message& message) {
  Ref<Payload>& slot = message.encoded[static_cast<size_t>(Encoding::kStream)];
  if (!slot) slot = make_payload(encode_stream(message));
  return slot;
}

void on_bytes(Services&, Connection*, uint8_t*, size_t) {}

void deliver(Services& services, Connection* connection, Message& message) {
  services.comet()->send(connection, encoded(message), true, message.policy());
  services.comet()->put_off_heartbeat(connection);
}

/// Tells of a gap before what is left, and else of the end of what was missed.
void append_subscribed(const Page& page, std::string* out) {
  out->append("{\"type\":\"subscribed\",\"cursor\":");
  append_cursor(page.is_lost ? page.start() : page.head, out);
  out->append(page.is_lost ? ",\"recovered\":false}\n" : ",\"recovered\":true}\n");
}

void on_page(Services& services, Connection* connection, const Page& page) {
  std::string bytes;
  if (page.is_lost) {
    services.counters().add(Counter::kGapsTotal);
    append_subscribed(page, &bytes);
  }
  for (const Ref<Message>& message : page.messages) bytes.append(encode_stream(*message));
  if (page.is_last && !page.is_lost) append_subscribed(page, &bytes);
  if (bytes.empty()) return;
  const Ref<Payload> payload = make_payload(std::move(bytes));
  services.comet()->send(connection, payload, false, SlowPolicy::kDisconnect);
}

void on_deadline(Services& services, Connection* connection) {
  // An empty line, which readers of JSON lines pass over.
  static const Ref<Payload> kHeartbeat = make_payload("\n");
  services.counters().add(Counter::kHeartbeatsTotal);
  services.comet()->set_deadline(connection, services.comet()->rules().heartbeat_s);
  services.comet()->send(connection, kHeartbeat, false, SlowPolicy::kDisconnect);
}

void on_disconnect(Services& services, Connection* connection, CloseCause cause) {
  services.comet()->unsubscribe(connection);
  services.comet()->finish(connection, cause);
}

}  // namespace

const Protocol kStreamProtocol = {"stream", on_bytes, on_deadline, on_disconnect, deliver, on_page};

}  // namespace megacomet
