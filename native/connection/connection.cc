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
      is_legal = next == ConnectionState::kOwing || next == ConnectionState::kFree ||
                 next == ConnectionState::kSubscribed || next == ConnectionState::kBusy;
      break;
    case ConnectionState::kOwing:
      is_legal = next == ConnectionState::kOpen || next == ConnectionState::kFree;
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
  // An outbox or a session exists exactly in its state. A subscription may be all zeros.
  const bool has_pointer = next == ConnectionState::kOwing || next == ConnectionState::kBusy;
  MC_CHECK(next == ConnectionState::kSubscribed || has_pointer == (connection->outbox != nullptr));
  connection->state = next;
}

}  // namespace megacomet
