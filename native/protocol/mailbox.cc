// Responses to legacy long polls. See mailbox.h.
#include "protocol/mailbox.h"

#include "connection/sender.h"
#include "connection/session.h"
#include "protocol/http_answer.h"

namespace megacomet {

namespace {

Ref<Payload> response(const Connection& connection, std::string_view content) {
  AnswerOptions options;
  // The page runs the response as a script.
  options.content_type = "text/javascript; charset=utf-8";
  if (connection.is_busy()) options.origin = connection.session->origin;
  options.keeps_alive = false;
  return make_payload(http_answer(200, content, options));
}

/// Input is ignored: the connection ends with the one response.
void on_bytes(Services&, Connection*, uint8_t*, size_t) {}

Ref<Payload> encode(Services&, const Connection& connection, Message& message) {
  return response(connection, message.data);
}

void on_message_sent(Services& services, Connection* connection) {
  services.mail->mail_sent(connection);
  services.sender->finish(connection, CloseCause::kDone);
}

/// A response without content: the client polls again.
void on_disconnect(Services& services, Connection* connection, CloseCause cause, std::string_view) {
  services.mail->stop_waiting(connection);
  if (connection->is_closing) return;
  if (!services.sender->send(connection, response(*connection, ""))) return;
  services.sender->finish(connection, cause);
}

void on_deadline(Services& services, Connection* connection) {
  on_disconnect(services, connection, CloseCause::kDone, {});
}

constexpr Protocol make_protocol() {
  Protocol protocol;
  protocol.on_bytes = on_bytes;
  protocol.on_deadline = on_deadline;
  protocol.on_disconnect = on_disconnect;
  protocol.encode = encode;
  protocol.on_message_sent = on_message_sent;
  protocol.ends_with_message = true;
  return protocol;
}

}  // namespace

constexpr Protocol kMailboxProtocol = make_protocol();

}  // namespace megacomet
