// The polls of one worker that wait for a message of a mailbox, and what the manager is told of
// each. A poll that waits is four bits in its record; its place in the order is the
// manager's.
#pragma once

#include <cstdint>
#include <string_view>

#include "connection/connection.h"
#include "connection/services.h"
#include "ipc/control.h"
#include "os/slab.h"

namespace megacomet {

class Mailboxes {
 public:
  Mailboxes(Slab<Connection>* connections, Control* control)
      : connections_(connections), control_(control) {}
  Mailboxes(const Mailboxes&) = delete;
  Mailboxes& operator=(const Mailboxes&) = delete;

  /// Asks for the next message of a mailbox, and hands the connection over to its protocol. False
  /// if the manager does not read: nothing was done.
  ///
  /// Every question ends with one word to the manager, Taken or Returned, at on_close() at the
  /// latest.
  [[nodiscard]] bool take(Connection* connection, std::string_view name);

  /// The poll at a place that still waits; null if it is over.
  [[nodiscard]] Connection* find(uint32_t fd, uint32_t generation);

  /// All of its message went to the kernel or into its send queue. Whether it was written whole
  /// shows when the connection closes.
  static void sent(Connection* connection);

  /// It waits no longer: the message that may be on its way goes to the next.
  void leave(Connection* connection);

  /// The connection goes away, whatever it was.
  void on_close(Connection* connection);

 private:
  Slab<Connection>* connections_;
  Control* control_;
};

}  // namespace megacomet
