// Events for one subscriber. See protocol_sse.h.
#include "protocol/sse.h"

#include <utility>

#include "base/bounds.h"
#include "codec/sse_codec.h"
#include "pubsub/message_codec.h"

namespace megacomet {

namespace {

Ref<Payload> encoded(Message& message) {
  Ref<Payload>& slot = message.encoded[static_cast<size_t>(Encoding::kSse)];
  if (!slot) slot = make_payload(encode_sse(message));
  return slot;
}

std::string cursor_text(const Cursor& cursor) {
  char text[kCursorTextMax];
  return {text, format_cursor(cursor, text)};
}

/// A place to continue from, without an event: the client takes over the id of a block without
/// data, and fires nothing (HTML standard, 9.2.6).
void append_place(const Cursor& cursor, std::string* out) {
  const std::string text = cursor_text(cursor);
  SseEvent event;
  event.id = text;
  static_cast<void>(append_sse_event(event, out));
}

/// An event of the server itself, which pages listen for by name.
void append_lost(const Cursor& cursor, std::string* out) {
  const std::string text = cursor_text(cursor);
  const std::string data = "{\"recovered\":false,\"cursor\":\"" + text + "\"}";
  SseEvent event;
  event.event = "megacomet.gap";
  event.data = data;
  static_cast<void>(append_sse_event(event, out));
}

/// What a client sends after its request is of no interest: it cannot ask for more here.
void on_bytes(Services&, Connection*, uint8_t*, size_t) {}

void deliver(Services& services, Connection* connection, Message& message) {
  services.comet()->send(connection, encoded(message), true, message.policy());
  services.comet()->put_off_heartbeat(connection);
}

void on_page(Services& services, Connection* connection, const Page& page) {
  std::string bytes;
  if (page.is_lost) {
    services.counters().add(Counter::kGapsTotal);
    append_lost(page.head, &bytes);
  }
  for (const Ref<Message>& message : page.messages) bytes.append(encode_sse(*message));
  if (page.is_last) append_place(page.head, &bytes);
  if (bytes.empty()) return;
  const Ref<Payload> payload = make_payload(std::move(bytes));
  services.comet()->send(connection, payload, false, SlowPolicy::kDisconnect);
}

void on_deadline(Services& services, Connection* connection) {
  static const Ref<Payload> kHeartbeat = [] {
    std::string bytes;
    append_sse_heartbeat(&bytes);
    return make_payload(std::move(bytes));
  }();
  services.counters().add(Counter::kHeartbeatsTotal);
  services.comet()->set_deadline(connection, services.comet()->rules().heartbeat_s);
  services.comet()->send(connection, kHeartbeat, false, SlowPolicy::kDisconnect);
}

void on_disconnect(Services& services, Connection* connection, CloseCause cause) {
  CometServices& comet = *services.comet();
  comet.unsubscribe(connection);
  if (cause == CloseCause::kDrain) {
    // The server leaves, and with it a million others: they come back over a longer time.
    const uint32_t retry_ms = comet.rules().retry_ms;
    SseEvent event;
    event.retry_ms = retry_ms + comet.random(bounds::kDrainRetryFactor * retry_ms);
    std::string bytes;
    static_cast<void>(append_sse_event(event, &bytes));
    const auto farewell = make_payload(std::move(bytes));
    if (!comet.send(connection, farewell, false, SlowPolicy::kDisconnect)) return;
  }
  comet.finish(connection, cause);
}

}  // namespace

const Protocol kSseProtocol = {"sse", on_bytes, on_deadline, on_disconnect, deliver, on_page};

}  // namespace megacomet
