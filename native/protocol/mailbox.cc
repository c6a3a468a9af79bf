// Answers to the ancestor's clients. See protocol_mailbox.h.
#include "protocol/mailbox.h"

#include "hub/mailboxes.h"
#include "protocol/http_answer.h"

namespace megacomet {

namespace {

Ref<Payload> answer_of(const Connection& connection, std::string_view content) {
  AnswerOptions options;
  // A page reads it as a script.
  options.content_type = "text/javascript; charset=utf-8";
  if (connection.state == ConnectionState::kBusy) options.origin = connection.session->origin;
  options.keeps_alive = false;
  return make_payload(http_answer(200, content, options));
}

/// Whatever its client says more: after the one answer the connection ends.
void on_bytes(Services&, Connection*, uint8_t*, size_t) {}

void deliver(Services& services, Connection* connection, Message& message) {
  CometServices& comet = *services.comet();
  const Ref<Payload> payload = answer_of(*connection, message.data);
  if (!comet.send(connection, payload, false, SlowPolicy::kDisconnect)) return;
  Mailboxes::sent(connection);
  comet.finish(connection, CloseCause::kDone);
}

/// An answer without content, upon which a client asks again.
void send_away(Services& services, Connection* connection, CloseCause cause) {
  CometServices& comet = *services.comet();
  comet.mailboxes().leave(connection);
  const bool is_answered =
      connection->state == ConnectionState::kBusy && connection->session->is_finishing;
  if (is_answered) return;
  const Ref<Payload> payload = answer_of(*connection, "");
  if (!comet.send(connection, payload, false, SlowPolicy::kDisconnect)) return;
  comet.finish(connection, cause);
}

void on_deadline(Services& services, Connection* connection) {
  send_away(services, connection, CloseCause::kDone);
}

}  // namespace

const Protocol kMailboxProtocol = {"mailbox", on_bytes, on_deadline, send_away, deliver, nullptr};

}  // namespace megacomet
