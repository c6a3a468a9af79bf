// Answers to polls. See protocol_poll.h.
#include "protocol/poll.h"

#include "base/bounds.h"
#include "connection/input_budget.h"
#include "protocol/http_answer.h"
#include "pubsub/message_codec.h"

namespace megacomet {

namespace {

std::string cursor_text(const Cursor& cursor) {
  char text[kCursorTextMax];
  return {text, format_cursor(cursor, text)};
}

std::string begin_batch() {
  return "{\"messages\":[";
}

void end_batch(const Cursor& cursor, bool is_lost, std::string* out) {
  out->append("],\"cursor\":");
  append_cursor(cursor, out);
  out->append(is_lost ? ",\"recovered\":false}" : ",\"recovered\":true}");
}

std::string answer_of(const std::string& batch, const Cursor& cursor, const Session* session) {
  const std::string text = cursor_text(cursor);
  AnswerOptions options;
  options.cursor = text;
  if (session == nullptr) return http_answer(200, batch, options);
  options.origin = session->origin;
  options.keeps_alive = !session->closes_after;
  options.is_head_only = session->is_head_only;
  if (session->callback.empty()) return http_answer(200, batch, options);
  // The comment keeps a reader that guesses types from taking the callback for one of its own.
  options.content_type = "application/javascript; charset=utf-8";
  return http_answer(200, "/**/" + session->callback + "(" + batch + ");", options);
}

/// Sends the answer, and gives the connection back to HTTP, or ends it with `cause`.
void respond(Services& services,
             Connection* connection,
             const Ref<Payload>& payload,
             CloseCause cause = CloseCause::kDone) {
  CometServices& comet = *services.comet();
  const uint32_t generation = connection->generation;
  comet.unsubscribe(connection);
  bool closes = false;
  bool has_more = false;
  if (connection->state == ConnectionState::kBusy) {
    Session* session = connection->session;
    closes = session->closes_after;
    has_more = !session->input.empty();
    session->callback.clear();
    session->origin.clear();
    session->is_head_only = false;
  }
  comet.hand_over(connection, ProtocolId::kHttp);
  comet.set_deadline(connection, comet.rules().handshake_timeout_s);
  if (!comet.send(connection, payload, false, SlowPolicy::kDisconnect)) return;
  if (closes) return comet.finish(connection, cause);
  if (has_more) comet.resume(connection, comet.input_budget().take(&connection->session->input));
  if (connection->generation == generation) comet.settle(connection);
}

Ref<Payload> encoded(Message& message, const Session* session) {
  Ref<Payload>& slot = message.encoded[static_cast<size_t>(Encoding::kPoll)];
  const bool is_common =
      session == nullptr || (session->callback.empty() && session->origin.empty() &&
                             !session->closes_after && !session->is_head_only);
  if (is_common && slot) return slot;
  std::string batch = begin_batch();
  batch.push_back('{');
  append_message_members(message, &batch);
  batch.push_back('}');
  end_batch(cursor_of(message), false, &batch);
  Ref<Payload> payload =
      make_payload(answer_of(batch, cursor_of(message), is_common ? nullptr : session));
  if (is_common) slot = payload;
  return payload;
}

const Session* session_of(const Connection* connection) {
  return connection->state == ConnectionState::kBusy ? connection->session : nullptr;
}

/// The next request of a client that does not wait for its answer: kept until then.
void on_bytes(Services& services, Connection* connection, uint8_t* bytes, size_t size) {
  CometServices& comet = *services.comet();
  Session* session = comet.session(connection);
  if (session->is_finishing) return;
  if (session->input.size() + size > bounds::kHttpHeadBytesMax) {
    return services.close(connection, CloseCause::kRejected);
  }
  const std::string_view came(reinterpret_cast<const char*>(bytes), size);
  if (comet.input_budget().keep(came, &session->input)) return;
  AnswerOptions options;
  options.origin = session->origin;
  options.is_head_only = session->is_head_only;
  const std::string answer = http_retry_later(comet.retry_after_s(), kInputBudgetFull, options);
  session->closes_after = true;
  respond(services, connection, make_payload(answer), CloseCause::kRejected);
}

void deliver(Services& services, Connection* connection, Message& message) {
  respond(services, connection, encoded(message, session_of(connection)));
}

void on_page(Services& services, Connection* connection, const Page& page) {
  if (page.is_lost) services.counters().add(Counter::kGapsTotal);
  // Nothing was missed: it waits.
  if (page.messages.empty() && !page.is_lost) return;
  std::string batch = begin_batch();
  for (const Ref<Message>& message : page.messages) {
    if (batch.back() != '[') batch.push_back(',');
    batch.push_back('{');
    append_message_members(*message, &batch);
    batch.push_back('}');
  }
  end_batch(page.head, page.is_lost, &batch);
  const std::string bytes = answer_of(batch, page.head, session_of(connection));
  respond(services, connection, make_payload(bytes));
}

/// Its time is up: it is told where it stands.
void on_deadline(Services& services, Connection* connection) {
  const Cursor cursor = services.comet()->position(*connection);
  if (connection->state == ConnectionState::kBusy &&
      connection->session->question == Question::kAsked) {
    // The answer may come yet, and must not be taken for that to the connection's next poll.
    connection->session->closes_after = true;
  }
  const Session* session = session_of(connection);
  std::string bytes;
  if (session != nullptr && !session->callback.empty()) {
    std::string batch = begin_batch();
    end_batch(cursor, false, &batch);
    bytes = answer_of(batch, cursor, session);
  } else {
    const std::string text = cursor_text(cursor);
    AnswerOptions options;
    options.cursor = text;
    if (session != nullptr) {
      options.origin = session->origin;
      options.keeps_alive = !session->closes_after;
    }
    bytes = http_answer(204, "", options);
  }
  respond(services, connection, make_payload(std::move(bytes)));
}

/// The server leaves: the poll is answered, and its client comes back elsewhere.
void on_disconnect(Services& services, Connection* connection, CloseCause) {
  services.comet()->session(connection)->closes_after = true;
  on_deadline(services, connection);
}

}  // namespace

const Protocol kPollProtocol = {
    "poll", on_bytes, on_deadline, on_disconnect, deliver, on_page, nullptr, nullptr, false, true};

}  // namespace megacomet
