// The life of a poll. See mailboxes.h.
#include "hub/mailboxes.h"

#include "base/check.h"
#include "connection/protocol.h"

namespace megacomet {

namespace {

/// Values of `mode` in a poll's record. Other protocols use it differently.
constexpr uint8_t kEnded = 0;
constexpr uint8_t kWaiting = 1;
constexpr uint8_t kSent = 2;

constexpr auto kProtocol = static_cast<uint8_t>(ProtocolId::kMailbox);

template <typename Frame>
void send(Control* control, const Connection& connection) {
  const ConnectionName name = name_of(connection);
  Frame report;
  report.fd = name.fd;
  report.generation = name.generation;
  control->send(report);
}

}  // namespace

bool Mailboxes::wait_for_mail(Connection* connection, std::string_view name) {
  if (control_->is_full()) return false;
  const ConnectionName poll = name_of(*connection);
  frame::MailboxPoll request;
  request.fd = poll.fd;
  request.generation = poll.generation;
  request.name = name;
  control_->send(request);
  hand_over(connection, ProtocolId::kMailbox);
  connection->mode = kWaiting;
  return true;
}

Connection* Mailboxes::find(const ConnectionName& name) {
  Connection* connection = find_connection(connections_, name);
  const bool is_waiting =
      connection != nullptr && connection->protocol == kProtocol && connection->mode == kWaiting;
  return is_waiting ? connection : nullptr;
}

void Mailboxes::mail_sent(Connection* connection) {
  MC_CHECK(connection->protocol == kProtocol && connection->mode == kWaiting);
  connection->mode = kSent;
}

void Mailboxes::stop_waiting(Connection* connection) {
  if (connection->protocol != kProtocol || connection->mode != kWaiting) return;
  connection->mode = kEnded;
  send<frame::MailboxNack>(control_, *connection);
}

void Mailboxes::on_close(Connection* connection) {
  stop_waiting(connection);
  if (connection->protocol != kProtocol || connection->mode != kSent) return;
  connection->mode = kEnded;
  if (connection->is_blocked) return send<frame::MailboxNack>(control_, *connection);
  send<frame::MailboxAck>(control_, *connection);
}

}  // namespace megacomet
