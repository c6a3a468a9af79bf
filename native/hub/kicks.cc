// Disconnecting one, several or all. See kicks.h.
#include "hub/kicks.h"

#include <vector>

namespace megacomet {

void Kicks::kick(std::string_view channel, std::string_view reason) {
  if (channel.empty()) return kick_all(reason);
  const uint32_t index = channels_->find(channel);
  if (index == Channels::kNone) return;
  // Copied: each disconnect changes the list.
  std::vector<ConnectionName> names;
  for (const uint32_t fd : channels_->at(index).subscribers) {
    names.push_back(name_of(*connections_->at(static_cast<int>(fd))));
  }
  for (const ConnectionName& name : names) kick(name, reason);
}

void Kicks::kick(const ConnectionName& name, std::string_view reason) {
  Connection* connection = find_connection(connections_, name);
  if (connection != nullptr) owner_->disconnect(connection, CloseCause::kKicked, reason);
}

void Kicks::kick_all(std::string_view reason) {
  connections_->visit(0, connections_->capacity(), [&](Connection& connection) {
    if (connection.state != ConnectionState::kFree) {
      owner_->disconnect(&connection, CloseCause::kKicked, reason);
    }
    return true;
  });
}

}  // namespace megacomet
