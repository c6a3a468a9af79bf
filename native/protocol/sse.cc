// Events for one subscriber. See sse.h.
#include "protocol/sse.h"

#include <utility>

#include "base/bounds.h"
#include "codec/sse_codec.h"
#include "protocol/endless_response.h"
#include "pubsub/message_codec.h"

namespace megacomet {

namespace {

struct Events {
  static constexpr Encoding kEncoding = Encoding::kSse;

  static std::string encode(const Message& message) { return encode_sse(message); }

  /// An event of the server itself, which pages listen for by name.
  static void append_gap(const Replay& replay, std::string* out) {
    const std::string data =
        "{\"recovered\":false,\"cursor\":\"" + cursor_text(replay.head) + "\"}";
    SseEvent event;
    event.event = "megacomet.gap";
    event.data = data;
    static_cast<void>(append_sse_event(event, out));
  }

  /// A cursor without an event: the client adopts the id of a block without data, and fires nothing
  /// (HTML standard, 9.2.6).
  static void append_end(const Replay& replay, std::string* out) {
    const std::string id = cursor_text(replay.head);
    SseEvent event;
    event.id = id;
    static_cast<void>(append_sse_event(event, out));
  }

  static std::string heartbeat() {
    std::string bytes;
    append_sse_heartbeat(&bytes);
    return bytes;
  }
};

using Response = EndlessResponse<Events>;

/// A drain disconnects all clients of a server: this delay spreads their reconnects over a longer
/// time.
bool send_drain_retry(Services& services, Connection* connection) {
  const uint32_t retry_ms = services.rules->retry_ms;
  SseEvent event;
  event.retry_ms = retry_ms + services.random->below(bounds::kDrainRetryFactor * retry_ms);
  std::string bytes;
  static_cast<void>(append_sse_event(event, &bytes));
  return services.sender->send(connection, make_payload(std::move(bytes)));
}

void on_disconnect(Services& services,
                   Connection* connection,
                   CloseCause cause,
                   std::string_view reason) {
  if (cause == CloseCause::kDrain && !send_drain_retry(services, connection)) return;
  Response::on_disconnect(services, connection, cause, reason);
}

constexpr Protocol make_protocol() {
  Protocol protocol = Response::protocol();
  protocol.on_disconnect = on_disconnect;
  return protocol;
}

}  // namespace

constexpr Protocol kSseProtocol = make_protocol();

}  // namespace megacomet
