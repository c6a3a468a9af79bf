// What becomes of polls. See mailboxes.h.
#include "hub/mailboxes.h"

#include "base/check.h"

namespace megacomet {

namespace {

/// Values of the `mode` of a poll's record; a connection of another protocol has others.
constexpr uint8_t kOver = 0;
constexpr uint8_t kWaits = 1;
constexpr uint8_t kSent = 2;

constexpr auto kProtocol = static_cast<uint8_t>(ProtocolId::kMailbox);

template <typename Word>
void tell(Control* control, const Connection& connection) {
  Word word;
  word.fd = static_cast<uint32_t>(connection.fd());
  word.generation = connection.generation;
  control->send(word);
}

}  // namespace

bool Mailboxes::take(Connection* connection, std::string_view name) {
  if (control_->is_full()) return false;
  frame::MailboxPoll question;
  question.fd = static_cast<uint32_t>(connection->fd());
  question.generation = connection->generation;
  question.name = name;
  control_->send(question);
  connection->protocol = kProtocol & 0xfU;
  connection->mode = kWaits;
  return true;
}

Connection* Mailboxes::find(uint32_t fd, uint32_t generation) {
  if (fd >= connections_->capacity()) return nullptr;
  Connection* connection = connections_->at(static_cast<int>(fd));
  // A record that is free, or has another occupant, has another generation too.
  const bool is_waiting = connection->protocol == kProtocol && connection->mode == kWaits &&
                          connection->generation == generation;
  return is_waiting ? connection : nullptr;
}

void Mailboxes::sent(Connection* connection) {
  MC_CHECK(connection->protocol == kProtocol && connection->mode == kWaits);
  connection->mode = kSent;
}

void Mailboxes::leave(Connection* connection) {
  if (connection->protocol != kProtocol || connection->mode != kWaits) return;
  connection->mode = kOver;
  tell<frame::MailboxNack>(control_, *connection);
}

void Mailboxes::on_close(Connection* connection) {
  leave(connection);
  if (connection->protocol != kProtocol || connection->mode != kSent) return;
  connection->mode = kOver;
  if (has_queued_output(*connection)) return tell<frame::MailboxNack>(control_, *connection);
  tell<frame::MailboxAck>(control_, *connection);
}

}  // namespace megacomet
