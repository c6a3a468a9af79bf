// The polls of one worker that wait for a message of a mailbox, and the frames to the manager about
// each. A waiting poll is four bits of its record; the manager keeps the order of the polls.
#pragma once

#include <cstdint>
#include <string_view>

#include "connection/connection.h"
#include "connection/services.h"
#include "ipc/control.h"
#include "os/slab.h"

namespace megacomet {

class Mailboxes final : public MailService {
 public:
  Mailboxes(Slab<Connection>* connections, Control* control)
      : connections_(connections), control_(control) {}
  Mailboxes(const Mailboxes&) = delete;
  Mailboxes& operator=(const Mailboxes&) = delete;

  /// Each MailboxPoll frame is followed by one MailboxAck or MailboxNack, at on_close() at the
  /// latest.
  [[nodiscard]] bool wait_for_mail(Connection* connection, std::string_view name) override;
  void mail_sent(Connection* connection) override;
  void stop_waiting(Connection* connection) override;

  /// The waiting poll of that name; null if it has ended.
  [[nodiscard]] Connection* find(const ConnectionName& name);

  /// A connection closes, of whatever protocol. If the kernel has the whole message it is
  /// acknowledged; otherwise it stays in the mailbox.
  void on_close(Connection* connection);

 private:
  Slab<Connection>* connections_;
  Control* control_;
};

}  // namespace megacomet
