// Events for one subscriber. See sse.h.
#include "protocol/sse.h"

#include <utility>

#include "base/bounds.h"
#include "codec/sse_codec.h"
#include "connection/sender.h"
#include "pubsub/message_codec.h"

namespace megacomet {

namespace {

/// A cursor without an event: the client adopts the id of a block without data, and fires nothing
/// (HTML standard, 9.2.6).
void append_cursor_event(const Cursor& cursor, std::string* out) {
  const std::string text = cursor_text(cursor);
  SseEvent event;
  event.id = text;
  static_cast<void>(append_sse_event(event, out));
}

/// An event of the server itself, which pages listen for by name.
void append_gap(const Cursor& cursor, std::string* out) {
  const std::string data = "{\"recovered\":false,\"cursor\":\"" + cursor_text(cursor) + "\"}";
  SseEvent event;
  event.event = "megacomet.gap";
  event.data = data;
  static_cast<void>(append_sse_event(event, out));
}

/// A client cannot send anything after its request.
void on_bytes(Services&, Connection*, uint8_t*, size_t) {}

Ref<Payload> encode(Services&, const Connection&, Message& message) {
  return message.encode_once(Encoding::kSse, encode_sse);
}

void on_replay(Services& services, Connection* connection, const Replay& replay) {
  std::string bytes;
  if (replay.is_lost) {
    services.counters->add(Counter::kGapsTotal);
    append_gap(replay.head, &bytes);
  }
  for (const Ref<Message>& message : replay.messages) bytes.append(encode_sse(*message));
  if (replay.is_last) append_cursor_event(replay.head, &bytes);
  if (!bytes.empty()) services.sender->send(connection, make_payload(std::move(bytes)));
}

void on_deadline(Services& services, Connection* connection) {
  static const Ref<Payload> kHeartbeat = [] {
    std::string bytes;
    append_sse_heartbeat(&bytes);
    return make_payload(std::move(bytes));
  }();
  services.counters->add(Counter::kHeartbeatsTotal);
  services.connections->set_deadline(connection, services.rules->heartbeat_s);
  services.sender->send(connection, kHeartbeat);
}

void on_disconnect(Services& services, Connection* connection, CloseCause cause, std::string_view) {
  services.subscriptions->unsubscribe(connection);
  if (cause == CloseCause::kDrain) {
    // A million clients lose this server at once: they reconnect over a longer time.
    const uint32_t retry_ms = services.rules->retry_ms;
    SseEvent event;
    event.retry_ms = retry_ms + services.random->below(bounds::kDrainRetryFactor * retry_ms);
    std::string bytes;
    static_cast<void>(append_sse_event(event, &bytes));
    if (!services.sender->send(connection, make_payload(std::move(bytes)))) return;
  }
  services.sender->finish(connection, cause);
}

constexpr Protocol make_protocol() {
  Protocol protocol;
  protocol.name = "sse";
  protocol.on_bytes = on_bytes;
  protocol.on_deadline = on_deadline;
  protocol.on_disconnect = on_disconnect;
  protocol.encode = encode;
  protocol.on_replay = on_replay;
  protocol.message_is_heartbeat = true;
  return protocol;
}

}  // namespace

constexpr Protocol kSseProtocol = make_protocol();

}  // namespace megacomet
