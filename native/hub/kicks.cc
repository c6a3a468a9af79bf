// Disconnecting one, several or all. See kicks.h.
#include "hub/kicks.h"

namespace megacomet {

void Kicks::kick(std::string_view channel, const std::string& reason) {
  parts_.crowd->add(channel.empty() ? all() : subscribers(channel),
                    [owner = parts_.owner, reason](Connection* connection) {
                      owner->disconnect(connection, CloseCause::kKicked, reason);
                    });
}

bool Kicks::kick(const ConnectionName& name, std::string_view reason) {
  Connection* connection = find_connection(parts_.connections, name);
  if (connection == nullptr || connection->is_closing) return false;
  parts_.owner->disconnect(connection, CloseCause::kKicked, reason);
  return true;
}

std::vector<ConnectionName> Kicks::subscribers(std::string_view channel) const {
  std::vector<ConnectionName> names;
  const uint32_t index = parts_.channels->find(channel);
  if (index == Channels::kNone) return names;
  for (const uint32_t fd : parts_.channels->at(index).subscribers) {
    names.push_back(name_of(*parts_.connections->at(static_cast<int>(fd))));
  }
  return names;
}

std::vector<ConnectionName> Kicks::all() const {
  std::vector<ConnectionName> names;
  names.reserve(parts_.connections->size());
  parts_.connections->visit(0, parts_.connections->capacity(), [&](const Connection& connection) {
    if (connection.state != ConnectionState::kFree) names.push_back(name_of(connection));
    return true;
  });
  return names;
}

}  // namespace megacomet
