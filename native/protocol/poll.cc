// Responses to polls. See poll.h.
#include "protocol/poll.h"

#include <utility>

#include "base/bounds.h"
#include "connection/input_budget.h"
#include "connection/sender.h"
#include "connection/session.h"
#include "connection/sessions.h"
#include "protocol/http.h"
#include "protocol/http_answer.h"
#include "pubsub/message_codec.h"

namespace megacomet {

namespace {

/// The JSON of a response: messages, then the cursor.
class Batch {
 public:
  void add(const Message& message) {
    if (text_.back() != '[') text_.push_back(',');
    text_.push_back('{');
    append_message_members(message, &text_);
    text_.push_back('}');
  }

  [[nodiscard]] std::string finish(const Cursor& cursor, bool is_lost) {
    text_.append("],\"cursor\":");
    append_cursor(cursor, &text_);
    text_.append(is_lost ? ",\"recovered\":false}" : ",\"recovered\":true}");
    return std::move(text_);
  }

 private:
  std::string text_ = "{\"messages\":[";
};

const Session* session_of(const Connection& connection) {
  return connection.is_busy() ? connection.session : nullptr;
}

std::string response(const std::string& batch, const Cursor& cursor, const Session* session) {
  const std::string text = cursor_text(cursor);
  AnswerOptions options;
  options.cursor = text;
  if (session == nullptr) return http_answer(200, batch, options);
  options.origin = session->origin;
  options.keeps_alive = !session->closes_after;
  options.is_head_only = session->is_head_only;
  if (session->callback.empty()) return http_answer(200, batch, options);
  // The comment prevents a client that guesses types from running the callback as something else.
  options.content_type = "application/javascript; charset=utf-8";
  return http_answer(200, "/**/" + session->callback + "(" + batch + ");", options);
}

/// The response is sent or queued: returns the connection to HTTP, or ends it with `cause`.
void end_request(Services& services, Connection* connection, CloseCause cause) {
  services.subscriptions->unsubscribe(connection);
  bool closes = false;
  bool has_more = false;
  if (connection->is_busy()) {
    Session* session = connection->session;
    closes = session->closes_after;
    has_more = !session->input.empty();
    session->callback.clear();
    session->origin.clear();
    session->is_head_only = false;
    session->answers_at_once = false;
  }
  // The next request has a token of its own.
  services.access->forget(connection);
  hand_over(connection, ProtocolId::kHttp);
  await_request(services, connection);
  if (closes) return services.sender->finish(connection, cause);
  const uint32_t generation = connection->generation;
  if (has_more) {
    services.connections->feed(connection,
                               services.input_budget->take(&connection->session->input));
  }
  if (connection->generation == generation) services.sessions->release(connection);
}

void respond(Services& services,
             Connection* connection,
             std::string bytes,
             CloseCause cause = CloseCause::kDone) {
  if (!services.sender->send(connection, make_payload(std::move(bytes)))) return;
  end_request(services, connection, cause);
}

std::string encode_alone(const Message& message, const Session* session) {
  Batch batch;
  if (!message.is_loss_notice) batch.add(message);
  const Cursor cursor = cursor_of(message);
  return response(batch.finish(cursor, message.is_loss_notice), cursor, session);
}

Ref<Payload> encode(Services&, const Connection& connection, Message& message) {
  const Session* session = session_of(connection);
  const bool is_shared =
      session == nullptr || (session->callback.empty() && session->origin.empty() &&
                             !session->closes_after && !session->is_head_only);
  if (!is_shared) return make_payload(encode_alone(message, session));
  return message.encode_once(Encoding::kPoll,
                             [](const Message& one) { return encode_alone(one, nullptr); });
}

void on_message_sent(Services& services, Connection* connection) {
  end_request(services, connection, CloseCause::kDone);
}

/// The next request of a client that pipelines: kept until this one is answered.
void on_bytes(Services& services, Connection* connection, uint8_t* bytes, size_t size) {
  if (connection->is_closing) return;
  Session* session = services.sessions->acquire(connection);
  if (session->input.size() + size > services.rules->http_head_bytes_max) {
    return services.connections->close(connection, CloseCause::kRejected);
  }
  const std::string_view arrived(reinterpret_cast<const char*>(bytes), size);
  if (!services.connections->keep_input(connection, arrived, &session->input)) return;
  if (session->input.size() <= bounds::kSlowInputBytes) return;
  services.connections->shorten_deadline(connection, bounds::kLongInputSeconds);
}

void on_input_full(Services& services, Connection* connection) {
  Session* session = services.sessions->acquire(connection);
  AnswerOptions options;
  options.origin = session->origin;
  options.is_head_only = session->is_head_only;
  session->closes_after = true;
  respond(services,
          connection,
          http_retry_later(503, retry_after_s(services.random), kInputBudgetFull, options),
          CloseCause::kRejected);
}

/// The response has the client's current cursor, and no content.
void respond_empty(Services& services, Connection* connection, CloseCause cause) {
  const Cursor cursor = services.subscriptions->position(*connection);
  if (connection->is_busy() && connection->session->replay.state == ReplayState::kRequested) {
    // A late replay page must not be taken for one of the connection's next poll.
    connection->session->closes_after = true;
  }
  const Session* session = session_of(*connection);
  if (session != nullptr && !session->callback.empty()) {
    const std::string content = Batch().finish(cursor, false);
    return respond(services, connection, response(content, cursor, session), cause);
  }
  const std::string text = cursor_text(cursor);
  AnswerOptions options;
  options.cursor = text;
  if (session != nullptr) {
    options.origin = session->origin;
    options.keeps_alive = !session->closes_after;
  }
  respond(services, connection, http_answer(204, "", options), cause);
}

/// The poll timed out, or too much has followed it for too long to be kept.
void on_deadline(Services& services, Connection* connection) {
  const bool is_long =
      connection->is_busy() && connection->session->input.size() > bounds::kSlowInputBytes;
  if (is_long) connection->session->closes_after = true;
  respond_empty(services, connection, is_long ? CloseCause::kHeadTimeout : CloseCause::kDone);
}

void on_replay(Services& services, Connection* connection, const Replay& replay) {
  if (replay.is_lost) services.counters->add(Counter::kGapsTotal);
  if (replay.messages.empty() && !replay.is_lost) {
    // Nothing was missed: the poll waits.
    const Session* session = session_of(*connection);
    const bool ends = replay.is_last && session != nullptr && session->answers_at_once;
    return ends ? respond_empty(services, connection, CloseCause::kDone) : void();
  }
  Batch batch;
  for (const Ref<Message>& message : replay.messages) batch.add(*message);
  const std::string content = batch.finish(replay.head, replay.is_lost);
  respond(services, connection, response(content, replay.head, session_of(*connection)));
}

/// The poll is answered as if it had timed out, and its client reconnects elsewhere.
void on_disconnect(Services& services, Connection* connection, CloseCause, std::string_view) {
  services.sessions->acquire(connection)->closes_after = true;
  respond_empty(services, connection, CloseCause::kDone);
}

constexpr Protocol make_protocol() {
  Protocol protocol;
  protocol.on_bytes = on_bytes;
  protocol.on_deadline = on_deadline;
  protocol.on_disconnect = on_disconnect;
  protocol.on_input_full = on_input_full;
  protocol.encode = encode;
  protocol.on_message_sent = on_message_sent;
  protocol.on_replay = on_replay;
  protocol.ends_with_message = true;
  return protocol;
}

}  // namespace

constexpr Protocol kPollProtocol = make_protocol();

}  // namespace megacomet
