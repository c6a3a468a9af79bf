// The table of legal moves between connection states. See connection.h.
#include "connection.h"

#include "check.h"

namespace megacomet {

void change_state(Connection* connection, ConnectionState next) {
  bool is_legal = false;
  switch (connection->state) {
    case ConnectionState::kFree:
      is_legal = next == ConnectionState::kOpen;
      break;
    case ConnectionState::kOpen:
      is_legal = next == ConnectionState::kOwing || next == ConnectionState::kFree;
      break;
    case ConnectionState::kOwing:
      is_legal = next == ConnectionState::kOpen || next == ConnectionState::kFree;
      break;
  }
  MC_CHECK(is_legal);
  // An outbox exists exactly while bytes are owed.
  MC_CHECK((next == ConnectionState::kOwing) == (connection->outbox != nullptr));
  connection->state = next;
}

}  // namespace megacomet
