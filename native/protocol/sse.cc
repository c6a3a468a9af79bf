// Events for one subscriber. See sse.h.
#include "protocol/sse.h"

#include <utility>

#include "base/bounds.h"
#include "codec/sse_codec.h"
#include "connection/drain.h"
#include "protocol/endless_response.h"
#include "protocol/server_events.h"
#include "pubsub/message_codec.h"

namespace megacomet {

namespace {

struct Events {
  static constexpr Encoding kEncoding = Encoding::kSse;

  static std::string encode(const Message& message) {
    if (!message.is_loss_notice) return encode_sse(message);
    std::string bytes;
    append_lost_event(cursor_of(message), &bytes);
    return bytes;
  }

  static void append_gap(const Replay& replay, std::string* out) {
    append_gap_event(replay.start(), out);
  }

  /// A gap was reported before the messages, with its position.
  static void append_end(const Replay& replay, std::string* out) {
    if (!replay.is_lost) append_subscribed_event(replay.head, out);
  }

  static std::string heartbeat() {
    std::string bytes;
    append_sse_heartbeat(&bytes);
    return bytes;
  }
};

using Response = EndlessResponse<Events>;

/// A departure disconnects all clients of a server: the delay spreads their reconnects over a
/// longer time.
bool send_departure(Services& services, Connection* connection, CloseCause cause) {
  std::string bytes = take_unsent_head(connection);
  const uint32_t retry_ms = reconnect_in_departure_ms(services);
  if (cause == CloseCause::kDrain) {
    append_shutdown_event(retry_ms, &bytes);
  } else {
    append_unavailable_event(retry_ms, &bytes);
  }
  return services.sender->send(connection, make_payload(std::move(bytes)));
}

void on_disconnect(Services& services,
                   Connection* connection,
                   CloseCause cause,
                   std::string_view reason) {
  if (is_departure(cause) && !send_departure(services, connection, cause)) return;
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
