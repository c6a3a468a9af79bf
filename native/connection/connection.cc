// The table of legal moves between connection states. See connection.h.
#include "connection/connection.h"

#include "base/check.h"

namespace megacomet {

void change_state(Connection* connection, ConnectionState next) {
  bool is_legal = false;
  switch (connection->state) {
    case ConnectionState::kFree:
      is_legal = next == ConnectionState::kOpen;
      break;
    case ConnectionState::kOpen:
      is_legal = next == ConnectionState::kFree || next == ConnectionState::kSubscribed ||
                 next == ConnectionState::kBusy;
      break;
    case ConnectionState::kSubscribed:
      is_legal = next == ConnectionState::kOpen || next == ConnectionState::kBusy ||
                 next == ConnectionState::kFree;
      break;
    case ConnectionState::kBusy:
      is_legal = next == ConnectionState::kOpen || next == ConnectionState::kSubscribed ||
                 next == ConnectionState::kFree;
      break;
  }
  MC_CHECK(is_legal);
  // A session exists exactly in its state. The bytes of a subscription may be anything.
  const bool has_session = next == ConnectionState::kBusy;
  MC_CHECK(next == ConnectionState::kSubscribed || has_session == (connection->session != nullptr));
  // Output is queued in a session.
  MC_CHECK(has_session || !connection->is_blocked);
  connection->state = next;
}

}  // namespace megacomet
