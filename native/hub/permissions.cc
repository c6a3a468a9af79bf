// Decisions about channels. See permissions.h.
#include "hub/permissions.h"

#include "pubsub/channel_name.h"

namespace megacomet {

void Permissions::set_publics(const std::vector<std::string>& patterns) {
  GrantTexts publics;
  publics[static_cast<size_t>(Action::kSubscribe)] = patterns;
  publics_ = make_ref<Grants>(publics);
}

bool Permissions::is_granted(const Connection& connection, Action action, std::string_view name) {
  if (!has_rules()) return false;
  const Ref<Grants> grants = parts_.principals->grants(connection.fd());
  return grants && grants->allows(action, name);
}

/// Whether everybody may subscribe to a channel, or to a pattern but for the namespaces within it.
bool Permissions::is_public(std::string_view name, const NamespaceRules& rules) const {
  if (rules.publicity != Publicity::kServer) return rules.publicity == Publicity::kPublic;
  return !has_rules() || publics_->allows(Action::kSubscribe, name);
}

/// Whether a test holds for a channel, or for a pattern and all namespaces within it.
template <typename Test>
bool Permissions::holds(std::string_view name, Test test) const {
  const Namespaces& namespaces = *parts_.namespaces;
  if (!test(name, namespaces.of(name))) return false;
  return !is_pattern(name) || namespaces.all_within(name, test);
}

bool Permissions::is_public(std::string_view name) const {
  return holds(name, [this](std::string_view pattern, const NamespaceRules& rules) {
    return is_public(pattern, rules);
  });
}

/// Whether the configuration says that everybody may subscribe; not only that it says nothing.
bool Permissions::is_named_public(std::string_view name) const {
  return holds(name, [this](std::string_view pattern, const NamespaceRules& rules) {
    return (has_rules() || rules.publicity == Publicity::kPublic) && is_public(pattern, rules);
  });
}

/// Presence shows users and their info, so it is public only where clients have no user.
bool Permissions::may_see_presence(const Connection& connection, std::string_view name) {
  if (!parts_.namespaces->of(name).has_presence) return false;
  if (is_granted(connection, Action::kPresence, name)) return true;
  return !has_users_ && is_named_public(name);
}

/// A subscriber reads the history with a cursor too, so the history is public with its channel.
bool Permissions::may_read_history(const Connection& connection, std::string_view name) {
  const bool has_history = holds(
      name, [](std::string_view, const NamespaceRules& rules) { return rules.has_client_history; });
  return has_history && (is_granted(connection, Action::kHistory, name) || is_named_public(name));
}

ClientPublish Permissions::client_publish(std::string_view channel) const {
  const ClientPublish given = parts_.namespaces->of(channel).client_publish;
  if (given != ClientPublish::kServer) return given;
  const bool is_allowed = (parts_.rules->flags & comet_flag::kClientsPublish) != 0;
  if (!is_allowed) return ClientPublish::kNobody;
  return has_rules() ? ClientPublish::kGrant : ClientPublish::kServer;
}

bool Permissions::may_publish(const Connection& connection, std::string_view channel) {
  switch (client_publish(channel)) {
    case ClientPublish::kServer:
      return true;
    case ClientPublish::kNobody:
      return false;
    case ClientPublish::kSubscribers:
      if (is_subscribed(connection, channel)) return true;
      break;
    case ClientPublish::kGrant:
      break;
  }
  return is_granted(connection, Action::kPublish, channel);
}

bool Permissions::is_subscribed(const Connection& connection, std::string_view channel) const {
  bool is_found = false;
  visit_subscriptions(connection, [&](uint32_t index) {
    is_found = is_found || parts_.channels->at(index).name == channel;
  });
  return is_found;
}

bool Permissions::allows(const Connection& connection, Action action, std::string_view name) {
  switch (action) {
    case Action::kSubscribe:
      return is_public(name) || is_granted(connection, action, name);
    case Action::kPublish:
      return may_publish(connection, name);
    case Action::kPresence:
      return may_see_presence(connection, name);
    case Action::kHistory:
      return may_read_history(connection, name);
  }
  return false;
}

}  // namespace megacomet
