// Frames, client commands and deliveries. See websocket.h.
#include "protocol/websocket.h"

#include <algorithm>
#include <utility>

#include "base/bounds.h"
#include "codec/utf8.h"
#include "codec/websocket_codec.h"
#include "connection/drain.h"
#include "connection/input_budget.h"
#include "connection/sender.h"
#include "connection/session.h"
#include "connection/sessions.h"
#include "protocol/client_access.h"
#include "protocol/websocket_commands.h"
#include "protocol/websocket_output.h"
#include "protocol/websocket_requests.h"
#include "pubsub/message_codec.h"

namespace megacomet {

namespace {

void on_input_full(Services& services, Connection* connection) {
  close_websocket(
      services, connection, close_code::kTryAgainLater, kInputBudgetFull, CloseCause::kRejected);
}

/// Whether a command has not ended: its replay, or the decision about it.
bool is_command_pending(const Connection& connection) {
  if (!connection.is_busy()) return false;
  const Session& session = *connection.session;
  return session.replay.state != ReplayState::kNone || session.awaits_decision;
}

/// Handles the frames of one read.
class Reader final : public WebSocketEvents {
 public:
  Reader(Services& services, Connection* connection, const WebSocketMessages& frames, bool is_echo)
      : services_(services),
        connection_(connection),
        frames_(frames),
        generation_(connection->generation),
        is_echo_(is_echo) {}

  /// Whether the connection is open and still reads.
  [[nodiscard]] bool is_open() const {
    return connection_->generation == generation_ && !connection_->is_closing;
  }

  /// Whether a message ended in this read, or a control frame outside of any message. Control
  /// frames within a message do not end it.
  [[nodiscard]] bool has_ended_one() const { return has_ended_one_; }

  bool on_message_part(const WebSocketPart& part) override {
    if (part.is_final) has_ended_one_ = true;
    if (part.is_first && part.is_final && !part.is_compressed) {
      return on_message(part.bytes, part.opcode);
    }
    std::string& begun = services_.sessions->acquire(connection_)->message;
    if (!part.is_final) return services_.connections->keep_input(connection_, part.bytes, &begun);
    std::string message = services_.input_budget->take(&begun);
    message.append(part.bytes);
    return part.is_compressed ? on_compressed(message, part.opcode)
                              : on_message(message, part.opcode);
  }

  bool on_ping(std::string_view content) override {
    if (!count_control()) return false;
    return send_websocket_frame(
               services_, connection_, websocket_frame(WebSocketOpcode::kPong, content)) &&
           is_open();
  }

  bool on_pong(std::string_view) override {
    if (!count_control()) return false;
    note_alive();
    return true;
  }

  void on_close(const WebSocketClose& frame) override {
    const uint16_t code = frame.code == close_code::kNone ? close_code::kNormal : frame.code;
    close_websocket(services_, connection_, code, "", CloseCause::kFinalResponse);
  }

  void on_error(uint16_t code) override {
    if (code == close_code::kTooBig) services_.counters->add(Counter::kMessagesTooBigTotal);
    close_websocket(services_, connection_, code, "", CloseCause::kRejected);
  }

 private:
  /// False if the control frame exceeds the limit, and the connection ends.
  bool count_control() {
    if (!frames_.is_in_message()) has_ended_one_ = true;
    if (services_.connections->count_control(connection_)) return true;
    services_.counters->add(Counter::kControlFrameLimitTotal);
    close_websocket(services_,
                    connection_,
                    close_code::kPolicy,
                    "too many pings or pongs",
                    CloseCause::kRejected);
    return false;
  }

  /// Any message or pong proves that the peer is alive.
  void note_alive() {
    connection_->awaits_pong = false;
    services_.sender->postpone_heartbeat(connection_);
  }

  /// The limit holds while it inflates: a thousand bytes may inflate to a million.
  bool on_compressed(std::string_view deflated, WebSocketOpcode opcode) {
    DeflateCodec& codec = *services_.deflate;
    DeflateCodec::Inflater* inflater = nullptr;
    DeflateFault fault = codec.begin_message(&inflater);
    std::string text;
    if (fault == DeflateFault::kNone) {
      fault = codec.inflate(inflater, deflated, true, services_.rules->message_bytes_max, &text);
      codec.end_message(inflater);
    }
    uint16_t code = 0;
    switch (fault) {
      case DeflateFault::kNone:
        code = opcode == WebSocketOpcode::kText && !is_valid_utf8(text)
                   ? close_code::kInvalidPayload
                   : 0;
        break;
      case DeflateFault::kTooBig:
        services_.counters->add(Counter::kMessagesTooBigTotal);
        code = close_code::kTooBig;
        break;
      case DeflateFault::kBroken:
        code = close_code::kInvalidPayload;
        break;
      case DeflateFault::kBusy:
        code = close_code::kTryAgainLater;
        break;
      case DeflateFault::kUnavailable:
        code = close_code::kInternal;
        break;
    }
    if (code == 0) return on_message(text, opcode);
    close_websocket(services_, connection_, code, "", CloseCause::kRejected);
    return false;
  }

  bool on_message(std::string_view text, WebSocketOpcode opcode) {
    note_alive();
    if (is_echo_) {
      return send_websocket_frame(services_,
                                  connection_,
                                  websocket_data_frame(services_, *connection_, opcode, text)) &&
             is_open();
    }
    if (opcode != WebSocketOpcode::kText) {
      close_websocket(
          services_, connection_, close_code::kUnsupported, "text only", CloseCause::kRejected);
      return false;
    }
    if (!is_command_pending(*connection_)) {
      return handle_command(services_, connection_, text) && is_open();
    }
    // Commands are handled in order, after the replay of the last subscribe, or the decision about
    // the last command.
    std::vector<std::string>& waiting = connection_->session->waiting;
    if (!has_room(waiting, text.size())) {
      services_.counters->add(Counter::kWaitingCommandsLimitTotal);
      close_websocket(services_,
                      connection_,
                      close_code::kPolicy,
                      "too many messages while a command is pending",
                      CloseCause::kRejected);
      return false;
    }
    waiting.emplace_back();
    return services_.connections->keep_input(connection_, text, &waiting.back());
  }

  /// The command that is decided about may have the longest size, and one more.
  [[nodiscard]] bool has_room(const std::vector<std::string>& waiting, size_t bytes) const {
    const size_t bytes_max =
        std::max(bounds::kWaitingBytesMin, size_t{2} * services_.rules->message_bytes_max);
    for (const std::string& one : waiting) bytes += one.size();
    return waiting.size() < bounds::kWaitingMessagesMax && bytes <= bytes_max;
  }

  Services& services_;
  Connection* connection_;
  const WebSocketMessages& frames_;
  uint32_t generation_;
  bool is_echo_;
  bool has_ended_one_ = false;
};

/// Bytes of a message, or of a frame, that are kept after a read. None if both are complete.
struct Incomplete {
  bool is_any = false;
  size_t bytes = 0;
};

/// The timeout of an incomplete message or frame starts at its first byte. A long one is kept for a
/// shorter time, as the head of a request is.
void time_message(Services& services, Connection* connection, Incomplete rest, bool is_another) {
  if (!rest.is_any || is_another) connection->end_message();
  if (!rest.is_any) return;
  services.connections->begin_message(connection, services.rules->handshake_timeout_s);
  if (rest.bytes <= bounds::kSlowInputBytes) return;
  services.connections->begin_message(connection, bounds::kLongInputSeconds);
}

void read(Services& services, Connection* connection, uint8_t* bytes, size_t size, bool is_echo) {
  if (connection->is_closing) return;
  std::string text;
  WebSocketMessages frames;
  if (connection->is_busy()) {
    text = services.input_budget->take(&connection->session->input);
    frames = connection->session->frames;
    connection->session->frames = WebSocketMessages();
  }
  // Usually one small frame arrives complete, and is read in place.
  const bool is_direct = text.empty() && size > 0;
  if (!is_direct) text.append(reinterpret_cast<const char*>(bytes), size);
  auto* start = is_direct ? bytes : reinterpret_cast<uint8_t*>(text.data());
  const size_t total = is_direct ? size : text.size();
  WebSocketRules rules;
  rules.message_bytes_max = services.rules->message_bytes_max;
  rules.allows_compression = connection->mode != 0;
  Reader reader(services, connection, frames, is_echo);
  const size_t done = frames.feed(rules, start, total, &reader);
  if (!reader.is_open()) return;
  const bool is_incomplete = done < total || !frames.is_idle();
  const size_t begun = connection->is_busy() ? connection->session->message.size() : 0;
  time_message(services, connection, {is_incomplete, begun + total - done}, reader.has_ended_one());
  if (is_incomplete) {
    Session* session = services.sessions->acquire(connection);
    session->frames = frames;
    const std::string_view rest(reinterpret_cast<const char*>(start + done), total - done);
    if (!services.connections->keep_input(connection, rest, &session->input)) return;
  }
  services.sessions->release(connection);
}

void on_bytes(Services& services, Connection* connection, uint8_t* bytes, size_t size) {
  read(services, connection, bytes, size, false);
}

void on_echo_bytes(Services& services, Connection* connection, uint8_t* bytes, size_t size) {
  read(services, connection, bytes, size, true);
}

/// Browsers offer the widest window, so that form is shared. A message for a smaller window is
/// compressed for each client.
Ref<Payload> encode(Services& services, const Connection& connection, Message& message) {
  const bool is_deflated = connection.mode != 0;
  const auto encode_for_this = [&](const Message& one) {
    return websocket_data_frame(
        services, connection, WebSocketOpcode::kText, encode_websocket_text(one));
  };
  if (is_deflated && connection.mode != kDeflateWindowBitsMax) {
    return make_payload(encode_for_this(message));
  }
  return message.encode_once(is_deflated ? Encoding::kWebSocketDeflated : Encoding::kWebSocket,
                             encode_for_this);
}

/// Handles the messages that waited. `decision` is about the first of them; null after a replay.
void handle_waiting(Services& services, Connection* connection, const HookDecision* decision) {
  const uint32_t generation = connection->generation;
  std::vector<std::string> waiting;
  for (std::string& one : connection->session->waiting) {
    waiting.push_back(services.input_budget->take(&one));
  }
  connection->session->waiting.clear();
  for (size_t at = 0; at < waiting.size(); ++at) {
    const HookDecision* own = std::exchange(decision, nullptr);
    if (!handle_command(services, connection, waiting[at], own)) return;
    if (connection->generation != generation || !is_command_pending(*connection)) continue;
    Session* session = connection->session;
    while (++at < waiting.size()) {
      session->waiting.emplace_back();
      if (!services.connections->keep_input(connection, waiting[at], &session->waiting.back())) {
        return;
      }
    }
    return;
  }
}

/// Handles the orders of the application that arrived while a command was pending. An order can
/// begin another replay.
void handle_orders(Services& services, Connection* connection) {
  while (connection->is_busy() && !is_command_pending(*connection)) {
    std::vector<ChannelOrder>& orders = connection->session->orders;
    if (orders.empty()) return;
    const ChannelOrder order = std::move(orders.front());
    orders.erase(orders.begin());
    if (!change_channels(services, connection, {order.channels, order.is_on})) return;
  }
}

void on_replay(Services& services, Connection* connection, const Replay& replay) {
  std::string bytes;
  const auto append = [&](std::string_view text) {
    std::string frame = websocket_data_frame(services, *connection, WebSocketOpcode::kText, text);
    if (bytes.empty()) return bytes.swap(frame);
    bytes.append(frame);
  };
  if (replay.is_lost) {
    services.counters->add(Counter::kGapsTotal);
    append(subscribed_text(services, replay));
  }
  for (const Ref<Message>& message : replay.messages) append(encode_websocket_text(*message));
  if (replay.is_last && !replay.is_lost) append(subscribed_text(services, replay));
  if (!bytes.empty() && !send_websocket_frame(services, connection, std::move(bytes))) return;
  if (!replay.is_last) return;
  const uint32_t generation = connection->generation;
  handle_orders(services, connection);
  if (connection->generation != generation || is_command_pending(*connection)) return;
  const bool has_waiting = connection->is_busy() && !connection->session->waiting.empty();
  if (has_waiting) handle_waiting(services, connection, nullptr);
}

void on_decision(Services& services, Connection* connection, const HookDecision& decision) {
  if (!connection->is_busy() || !connection->session->awaits_decision) return;
  const uint32_t generation = connection->generation;
  connection->session->awaits_decision = false;
  handle_waiting(services, connection, &decision);
  if (connection->generation != generation) return;
  handle_orders(services, connection);
  if (connection->generation == generation) services.sessions->release(connection);
}

bool has_subscriptions(const Connection& connection) {
  if (!connection.is_busy()) return connection.state == ConnectionState::kSubscribed;
  return !connection.session->subscriptions.empty() || is_command_pending(connection);
}

void on_deadline(Services& services, Connection* connection) {
  const bool is_echo = connection->protocol == static_cast<uint8_t>(ProtocolId::kWebSocketEcho);
  // Strangers must not hold connections that they cannot use.
  if (!is_echo && !has_subscriptions(*connection) && is_unknown(services, connection)) {
    services.counters->add(Counter::kConnectTimeoutsTotal);
    return close_websocket(services,
                           connection,
                           close_code::kUnauthorized,
                           "token is required",
                           CloseCause::kRejected);
  }
  if (connection->awaits_pong) return services.connections->close(connection, CloseCause::kDead);
  connection->awaits_pong = true;
  services.counters->add(Counter::kHeartbeatsTotal);
  services.connections->set_deadline(connection, services.rules->heartbeat_s);
  send_websocket_frame(services, connection, websocket_frame(WebSocketOpcode::kPing, ""));
}

void on_rejected(Services& services, Connection* connection, const frame::Rejected& rejected) {
  send_command_error(services, connection, rejected.error, rejected.channel, rejected.id);
}

void on_published(Services& services, Connection* connection, const frame::Published& published) {
  send_websocket_text(services, connection, published_text(services, published));
}

void on_response(Services& services, Connection* connection, const Response& response) {
  send_websocket_text(services, connection, response_text(response));
}

/// Like a client's commands, an order waits for the end of a replay, or for a decision.
void on_channels(Services& services, Connection* connection, const ChannelChange& change) {
  if (!is_command_pending(*connection)) {
    if (change_channels(services, connection, change)) services.sessions->release(connection);
    return;
  }
  std::vector<ChannelOrder>& orders = connection->session->orders;
  if (orders.size() < bounds::kWaitingMessagesMax) {
    return orders.push_back({change.channels, change.is_on});
  }
  close_websocket(services,
                  connection,
                  close_code::kTryAgainLater,
                  "too many changes of channels during a replay",
                  CloseCause::kRejected);
}

void on_disconnect(Services& services,
                   Connection* connection,
                   CloseCause cause,
                   std::string_view reason) {
  if (is_departure(cause)) {
    const std::string_view text = departure_sentence(cause);
    return close_websocket(services, connection, close_code::kGoingAway, text, cause);
  }
  if (cause == CloseCause::kExpired) {
    if (reason.empty()) reason = "token: expired";
    return close_websocket(services, connection, close_code::kUnauthorized, reason, cause);
  }
  if (cause == CloseCause::kMessageTimeout) {
    reason = "message not complete in time";
  } else if (reason.empty()) {
    reason = "closed by the operator";
  }
  close_websocket(services, connection, close_code::kPolicy, reason, cause);
}

constexpr Protocol make_protocol() {
  Protocol protocol;
  protocol.on_bytes = on_bytes;
  protocol.on_deadline = on_deadline;
  protocol.on_disconnect = on_disconnect;
  protocol.on_input_full = on_input_full;
  protocol.encode = encode;
  protocol.on_replay = on_replay;
  protocol.on_rejected = on_rejected;
  protocol.on_published = on_published;
  protocol.on_response = on_response;
  protocol.on_channels = on_channels;
  protocol.on_decision = on_decision;
  return protocol;
}

constexpr Protocol make_echo_protocol() {
  Protocol protocol;
  protocol.on_bytes = on_echo_bytes;
  protocol.on_deadline = on_deadline;
  protocol.on_disconnect = on_disconnect;
  protocol.on_input_full = on_input_full;
  protocol.pauses_reading = true;
  return protocol;
}

}  // namespace

constexpr Protocol kWebSocketProtocol = make_protocol();
constexpr Protocol kWebSocketEchoProtocol = make_echo_protocol();

}  // namespace megacomet
