// Frames, client messages and deliveries. See protocol_websocket.h.
#include "protocol/websocket.h"

#include "base/bounds.h"
#include "codec/json_writer.h"
#include "codec/utf8.h"
#include "codec/websocket_codec.h"
#include "connection/input_budget.h"
#include "protocol/client_command.h"
#include "protocol/comet_request.h"
#include "pubsub/message_codec.h"

namespace megacomet {

namespace {

/// Below this a text is not made shorter by deflate, only later.
constexpr size_t kDeflateBytesMin = 64;

/// The answer to a request for channels, as long as it names none.
constexpr size_t kSubscribedBytes = 128;

/// A frame with a content as this connection wants it: compressed where that was agreed on, and
/// where it pays.
std::string data_frame(CometServices& comet,
                       const Connection& connection,
                       WebSocketOpcode opcode,
                       std::string_view content) {
  if (connection.mode != 0 && content.size() >= kDeflateBytesMin) {
    std::string deflated;
    const DeflateFault fault = comet.deflate().deflate(content, connection.mode, &deflated);
    if (fault == DeflateFault::kNone && deflated.size() < content.size()) {
      return websocket_frame(opcode, deflated, true);
    }
  }
  return websocket_frame(opcode, content);
}

std::string text_frame(CometServices& comet, const Connection* connection, std::string_view text) {
  return data_frame(comet, *connection, WebSocketOpcode::kText, text);
}

/// False if the connection is gone.
bool send(CometServices& comet, Connection* connection, std::string bytes) {
  return comet.send(connection, make_payload(std::move(bytes)), false, SlowPolicy::kDisconnect);
}

/// Says why, and ends once that was sent.
void close(Services& services,
           Connection* connection,
           uint16_t code,
           std::string_view reason,
           CloseCause cause) {
  CometServices& comet = *services.comet();
  comet.unsubscribe(connection);
  uint8_t body[kWebSocketControlBytesMax];
  const size_t size = encode_websocket_close({code, reason}, body);
  const std::string_view content(reinterpret_cast<const char*>(body), size);
  if (send(comet, connection, websocket_frame(WebSocketOpcode::kClose, content))) {
    comet.finish(connection, cause);
  }
}

/// Keeps what is not whole, or not yet its turn. False if the worker has no room, and the
/// connection ends.
bool keep(Services& services, Connection* connection, std::string_view bytes, std::string* place) {
  if (services.comet()->input_budget().keep(bytes, place)) return true;
  close(services, connection, close_code::kTryAgainLater, kInputBudgetFull, CloseCause::kRejected);
  return false;
}

/// Strings of JSON; `text_at(index)` has each.
template <typename TextAt>
void append_strings(size_t count, TextAt text_at, std::string* out) {
  out->push_back('[');
  for (size_t at = 0; at < count; ++at) {
    if (at > 0) out->push_back(',');
    append_json_string(text_at(at), out);
  }
  out->push_back(']');
}

/// Tells what is wrong. Of a publish also which one it was: its answer may come behind others.
bool say_error(CometServices& comet,
               Connection* connection,
               std::string_view sentence,
               std::string_view channel = {},
               std::string_view id = {}) {
  std::string text = "{\"type\":\"error\",\"error\":";
  append_json_string(sentence, &text);
  if (!channel.empty()) {
    text.append(",\"channel\":");
    append_json_string(channel, &text);
  }
  if (!id.empty()) {
    text.append(",\"id\":");
    append_json_string(id, &text);
  }
  text.push_back('}');
  return send(comet, connection, text_frame(comet, connection, text));
}

bool subscribe(CometServices& comet, Connection* connection, const Wish& wish) {
  const size_t have = comet.session(connection)->subscriptions.size();
  if (wish.channels.empty()) return say_error(comet, connection, "channel: one is needed");
  if (have + wish.channels.size() > comet.rules().channels_per_connection_max) {
    return say_error(comet, connection, "channel: more than one connection may have");
  }
  for (const std::string& name : wish.channels) {
    if (!is_channel(name)) return say_error(comet, connection, "channel: not a channel's name");
  }
  Cursor since{};
  if (!wish.since.empty() && !parse_cursor(wish.since, &since)) {
    return say_error(comet, connection, "since: not a cursor");
  }
  const uint32_t generation = connection->generation;
  comet.subscribe(connection, wish.channels, wish.since.empty() ? nullptr : &since);
  return connection->generation == generation;
}

bool unsubscribe(CometServices& comet, Connection* connection, const Wish& wish) {
  std::vector<std::string_view> left;
  for (const std::string& name : wish.channels) {
    if (comet.unsubscribe(connection, name)) left.push_back(name);
  }
  std::string text = "{\"type\":\"unsubscribed\",\"channels\":";
  append_strings(
      left.size(), [&left](size_t at) { return left[at]; }, &text);
  text.push_back('}');
  return send(comet, connection, text_frame(comet, connection, text));
}

bool publish(CometServices& comet, Connection* connection, const Wish& wish) {
  const std::string channel = wish.channel();
  const std::string id = is_label(wish.id) ? wish.id : "";
  const auto refuse = [&](std::string_view sentence) {
    return say_error(comet, connection, sentence, channel, id);
  };
  if ((comet.rules().flags & comet_flag::kClientsPublish) == 0) {
    return refuse("clients may not publish here");
  }
  if (channel.empty() || channel.back() == '*') return refuse("channel: one exact name is needed");
  if (!is_label(wish.id) || !is_label(wish.event)) {
    return refuse("id and event: each at most 128 bytes");
  }
  frame::Message message;
  message.channel = channel;
  message.id = id;
  message.event = wish.event;
  message.data.bytes = wish.data;
  if (comet.publish(*connection, std::move(message))) return true;
  return refuse("the server is busy: try again");
}

/// Answers one message of a client. False if the connection is gone.
bool obey(Services& services, Connection* connection, std::string_view text) {
  CometServices& comet = *services.comet();
  Wish wish;
  const char* fault = read_client_command(text, &wish);
  if (fault != nullptr) return say_error(comet, connection, fault);
  if (wish.type == "subscribe") return subscribe(comet, connection, wish);
  if (wish.type == "unsubscribe") return unsubscribe(comet, connection, wish);
  if (wish.type == "publish") return publish(comet, connection, wish);
  if (wish.type == "ping")
    return send(comet, connection, text_frame(comet, connection, "{\"type\":\"pong\"}"));
  return say_error(comet, connection, "type: none that is known");
}

/// What frames come to, for one reading.
class Reader final : public WebSocketEvents {
 public:
  Reader(Services& services, Connection* connection, const WebSocketMessages& frames, bool is_echo)
      : services_(services),
        comet_(*services.comet()),
        connection_(connection),
        frames_(frames),
        generation_(connection->generation),
        is_echo_(is_echo) {}

  /// Whether the connection is still there, and read.
  [[nodiscard]] bool is_alive() const {
    return connection_->generation == generation_ && connection_->state != ConnectionState::kFree &&
           !(connection_->state == ConnectionState::kBusy && connection_->session->is_finishing);
  }

  /// Whether what had begun before this reading has come to its end: a message, or a control frame
  /// outside of any. Control frames within a message are no end of it.
  [[nodiscard]] bool has_ended_one() const { return has_ended_one_; }

  bool on_message_part(const WebSocketPart& part) override {
    if (part.is_final) has_ended_one_ = true;
    if (part.is_first && part.is_final && !part.is_compressed) {
      return on_message(part.bytes, part.opcode);
    }
    std::string& begun = comet_.session(connection_)->message;
    if (!part.is_final) return keep(services_, connection_, part.bytes, &begun);
    std::string whole = comet_.input_budget().take(&begun);
    whole.append(part.bytes);
    return part.is_compressed ? on_compressed(whole, part.opcode) : on_message(whole, part.opcode);
  }

  bool on_ping(std::string_view content) override {
    if (!take_control()) return false;
    return send(comet_, connection_, websocket_frame(WebSocketOpcode::kPong, content)) &&
           is_alive();
  }

  bool on_pong(std::string_view) override {
    if (!take_control()) return false;
    heard();
    return true;
  }

  void on_close(const WebSocketClose& farewell) override {
    const uint16_t code = farewell.code == close_code::kNone ? close_code::kNormal : farewell.code;
    close(services_, connection_, code, "", CloseCause::kFinalResponse);
  }

  void on_error(uint16_t code) override {
    close(services_, connection_, code, "", CloseCause::kRejected);
  }

 private:
  /// False if it was one too many, and the connection ends.
  bool take_control() {
    if (!frames_.is_in_message()) has_ended_one_ = true;
    if (connection_->count_control()) return true;
    services_.counters().add(Counter::kControlFrameLimitTotal);
    close(services_,
          connection_,
          close_code::kPolicy,
          "too many pings or pongs",
          CloseCause::kRejected);
    return false;
  }

  /// Anything that the peer says shows that it is there.
  void heard() {
    if (connection_->state == ConnectionState::kBusy) connection_->session->awaits_pong = false;
    comet_.put_off_heartbeat(connection_);
  }

  /// The limit holds while it inflates: a thousand bytes may stand for a million.
  bool on_compressed(std::string_view deflated, WebSocketOpcode opcode) {
    DeflateCodec& codec = comet_.deflate();
    DeflateCodec::Inflater* inflater = nullptr;
    DeflateFault fault = codec.begin_message(&inflater);
    std::string text;
    if (fault == DeflateFault::kNone) {
      fault = codec.inflate(inflater, deflated, true, comet_.rules().message_bytes_max, &text);
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
    close(services_, connection_, code, "", CloseCause::kRejected);
    return false;
  }

  bool on_message(std::string_view text, WebSocketOpcode opcode) {
    heard();
    if (is_echo_) {
      return send(comet_, connection_, data_frame(comet_, *connection_, opcode, text)) &&
             is_alive();
    }
    if (opcode != WebSocketOpcode::kText) {
      close(services_, connection_, close_code::kUnsupported, "text only", CloseCause::kRejected);
      return false;
    }
    if (connection_->state != ConnectionState::kBusy ||
        connection_->session->question == Question::kNone) {
      return obey(services_, connection_, text) && is_alive();
    }
    // A question of it is under way, and its wishes have an order.
    std::vector<std::string>& waiting = connection_->session->waiting;
    if (waiting.size() >= bounds::kWaitingMessagesMax) {
      close(services_, connection_, close_code::kPolicy, "too many at once", CloseCause::kRejected);
      return false;
    }
    waiting.emplace_back();
    return keep(services_, connection_, text, &waiting.back());
  }

  Services& services_;
  CometServices& comet_;
  Connection* connection_;
  const WebSocketMessages& frames_;
  uint32_t generation_;
  bool is_echo_;
  bool has_ended_one_ = false;
};

/// What has begun and is not whole has its time from its first byte on.
void time_message(CometServices& comet, Connection* connection, bool is_open, bool is_another) {
  if (!is_open || is_another) connection->end_message();
  if (!is_open || connection->has_begun_message()) return;
  comet.begin_message(connection, comet.rules().handshake_timeout_s);
}

void read(Services& services, Connection* connection, uint8_t* bytes, size_t size, bool is_echo) {
  CometServices& comet = *services.comet();
  std::string text;
  WebSocketMessages frames;
  if (connection->state == ConnectionState::kBusy) {
    if (connection->session->is_finishing) return;
    text = comet.input_budget().take(&connection->session->input);
    frames = connection->session->frames;
    connection->session->frames = WebSocketMessages();
  }
  // Most often one small frame comes whole, and is read where it lies.
  const bool is_direct = text.empty() && size > 0;
  if (!is_direct) text.append(reinterpret_cast<const char*>(bytes), size);
  auto* start = is_direct ? bytes : reinterpret_cast<uint8_t*>(text.data());
  const size_t total = is_direct ? size : text.size();
  WebSocketRules rules;
  rules.message_bytes_max = comet.rules().message_bytes_max;
  rules.allows_compression = connection->mode != 0;
  Reader reader(services, connection, frames, is_echo);
  const size_t done = frames.feed(rules, start, total, &reader);
  if (!reader.is_alive()) return;
  const bool is_open = done < total || !frames.is_idle();
  time_message(comet, connection, is_open, reader.has_ended_one());
  if (is_open) {
    Session* session = comet.session(connection);
    session->frames = frames;
    const std::string_view rest(reinterpret_cast<const char*>(start + done), total - done);
    if (!keep(services, connection, rest, &session->input)) return;
  }
  comet.settle(connection);
}

void on_bytes(Services& services, Connection* connection, uint8_t* bytes, size_t size) {
  read(services, connection, bytes, size, false);
}

void on_echo_bytes(Services& services, Connection* connection, uint8_t* bytes, size_t size) {
  read(services, connection, bytes, size, true);
}

/// The widest window is what browsers ask for, and what is kept for all of them.
Ref<Payload> encoded(CometServices& comet, const Connection& connection, Message& message) {
  const bool is_deflated = connection.mode != 0;
  const bool is_common = !is_deflated || connection.mode == kDeflateWindowBitsMax;
  Ref<Payload>& slot = message.encoded[static_cast<size_t>(
      is_deflated ? Encoding::kWebSocketDeflated : Encoding::kWebSocket)];
  if (is_common && slot) return slot;
  const std::string text = encode_websocket_text(message);
  Ref<Payload> made = make_payload(data_frame(comet, connection, WebSocketOpcode::kText, text));
  if (is_common) slot = made;
  return made;
}

void deliver(Services& services, Connection* connection, Message& message) {
  CometServices& comet = *services.comet();
  comet.send(connection, encoded(comet, *connection, message), true, message.policy());
}

/// Goes on with what waited for the answer.
void handle_waiting(Services& services, Connection* connection) {
  const uint32_t generation = connection->generation;
  std::vector<std::string> waiting;
  for (std::string& one : connection->session->waiting) {
    waiting.push_back(services.comet()->input_budget().take(&one));
  }
  connection->session->waiting.clear();
  for (size_t at = 0; at < waiting.size(); ++at) {
    if (!obey(services, connection, waiting[at])) return;
    if (connection->generation != generation || connection->state != ConnectionState::kBusy) {
      continue;
    }
    Session* session = connection->session;
    if (session->question == Question::kNone) continue;
    while (++at < waiting.size()) {
      session->waiting.emplace_back();
      if (!keep(services, connection, waiting[at], &session->waiting.back())) return;
    }
    return;
  }
}

/// The answer to a request for channels, which it names: a client may have asked for others since.
std::string subscribed(const CometServices& comet, const Page& page) {
  const auto name_at = [&](size_t at) { return comet.name_of(page.channels[at]); };
  std::string text;
  text.reserve(kSubscribedBytes);
  text.append("{\"type\":\"subscribed\",\"cursor\":");
  append_cursor(page.is_lost ? page.start() : page.head, &text);
  text.append(page.is_lost ? ",\"recovered\":false" : ",\"recovered\":true");
  text.append(",\"channels\":");
  append_strings(page.channels.size(), name_at, &text);
  text.push_back('}');
  return text;
}

void on_page(Services& services, Connection* connection, const Page& page) {
  CometServices& comet = *services.comet();
  std::string bytes;
  const auto say = [&](std::string_view text) {
    std::string frame = text_frame(comet, connection, text);
    if (bytes.empty()) return bytes.swap(frame);
    bytes.append(frame);
  };
  if (page.is_lost) {
    services.counters().add(Counter::kGapsTotal);
    say(subscribed(comet, page));
  }
  for (const Ref<Message>& message : page.messages) say(encode_websocket_text(*message));
  if (page.is_last && !page.is_lost) say(subscribed(comet, page));
  if (!bytes.empty() && !send(comet, connection, std::move(bytes))) return;
  const bool has_waiting =
      connection->state == ConnectionState::kBusy && !connection->session->waiting.empty();
  if (page.is_last && has_waiting) handle_waiting(services, connection);
}

void on_deadline(Services& services, Connection* connection) {
  CometServices& comet = *services.comet();
  Session* session = comet.session(connection);
  if (session->awaits_pong) return services.close(connection, CloseCause::kDead);
  session->awaits_pong = true;
  services.counters().add(Counter::kHeartbeatsTotal);
  comet.set_deadline(connection, comet.rules().heartbeat_s);
  send(comet, connection, websocket_frame(WebSocketOpcode::kPing, ""));
}

void on_rejected(Services& services, Connection* connection, const frame::Rejected& refused) {
  say_error(*services.comet(), connection, refused.error, refused.channel, refused.id);
}

void on_disconnect(Services& services, Connection* connection, CloseCause cause) {
  if (cause == CloseCause::kDrain) {
    const std::string_view farewell = "the server leaves: come back in a moment";
    return close(services, connection, close_code::kGoingAway, farewell, cause);
  }
  std::string_view reason = services.comet()->kick_reason();
  if (cause == CloseCause::kMessageTimeout) {
    reason = "a message was not whole in time";
  } else if (reason.empty()) {
    reason = "closed by the operator";
  }
  close(services, connection, close_code::kPolicy, reason, cause);
}

}  // namespace

const Protocol kWebSocketProtocol = {
    "websocket", on_bytes, on_deadline, on_disconnect, deliver, on_page, on_rejected};
const Protocol kWebSocketEchoProtocol = {"websocket-echo",
                                         on_echo_bytes,
                                         on_deadline,
                                         on_disconnect,
                                         nullptr,
                                         nullptr,
                                         nullptr,
                                         nullptr,
                                         true};

}  // namespace megacomet
