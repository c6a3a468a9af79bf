// The actions that a connection may take on a channel: by its grants, by the namespace, or because
// the channel is public.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "auth/grants.h"
#include "auth/principals.h"
#include "auth/token.h"
#include "base/ref.h"
#include "connection/connection.h"
#include "connection/session.h"
#include "ipc/frames.h"
#include "pubsub/channels.h"
#include "pubsub/namespaces.h"

namespace megacomet {

/// Calls `visit(channel)` for each channel to which a connection is subscribed.
template <typename Visit>
void visit_subscriptions(const Connection& connection, Visit visit) {
  if (connection.state == ConnectionState::kSubscribed) visit(connection.only.channel);
  if (!connection.is_busy()) return;
  for (const Subscription& one : connection.session->subscriptions) visit(one.channel);
}

class Permissions final {
 public:
  struct Parts {
    const Channels* channels;
    const Namespaces* namespaces;
    const frame::Comet* rules;
    Principals* principals;
  };
  explicit Permissions(const Parts& parts) : parts_(parts) {}

  /// The server has rules of access from now on: only these channels are public.
  void set_publics(const std::vector<std::string>& patterns);
  /// Whether clients can have a user.
  void set_users(bool has_users) { has_users_ = has_users; }

  /// As AccessService::allows().
  [[nodiscard]] bool allows(const Connection& connection, Action action, std::string_view name);
  /// As AccessService::client_publish().
  [[nodiscard]] ClientPublish client_publish(std::string_view channel) const;

 private:
  [[nodiscard]] bool has_rules() const { return static_cast<bool>(publics_); }
  [[nodiscard]] bool is_granted(const Connection& connection, Action action, std::string_view name);
  template <typename Test>
  [[nodiscard]] bool holds(std::string_view name, Test test) const;
  [[nodiscard]] bool is_public(std::string_view name) const;
  [[nodiscard]] bool is_public(std::string_view name, const NamespaceRules& rules) const;
  [[nodiscard]] bool is_named_public(std::string_view name) const;
  [[nodiscard]] bool may_publish(const Connection& connection, std::string_view channel);
  [[nodiscard]] bool may_see_presence(const Connection& connection, std::string_view name);
  [[nodiscard]] bool may_read_history(const Connection& connection, std::string_view name);
  [[nodiscard]] bool is_subscribed(const Connection& connection, std::string_view channel) const;

  Parts parts_;
  /// Null without rules of access.
  Ref<Grants> publics_;
  bool has_users_ = false;
};

}  // namespace megacomet
