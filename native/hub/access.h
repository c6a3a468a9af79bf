// Tokens, grants and expiry of the clients of one worker. The manager sends the keys; no token
// waits for it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "auth/authenticator.h"
#include "auth/grants.h"
#include "auth/known_tokens.h"
#include "auth/principals.h"
#include "auth/revocations.h"
#include "auth/token.h"
#include "auth/url_keys.h"
#include "base/random.h"
#include "connection/client_limits.h"
#include "connection/services.h"
#include "hub/unknown_keys.h"
#include "ipc/control.h"
#include "ipc/frames.h"
#include "ipc/segment.h"
#include "pubsub/channels.h"
#include "pubsub/namespaces.h"

namespace megacomet {

class Access final : public AccessService {
 public:
  struct Parts {
    const Channels* channels;
    const Namespaces* namespaces;
    const frame::Comet* rules;
    ConnectionOwner* connections;
    Control* control;
    Slab<Connection>* records;
    Counters* counters;
    Random* random;
    ClientLimits* limits;
  };
  explicit Access(const Parts& parts) : parts_(parts), unknown_keys_(parts.control) {}
  Access(const Access&) = delete;
  Access& operator=(const Access&) = delete;
  ~Access() = default;

  /// Takes the manager's settings; a second time for changed keys. False if a key is not valid,
  /// which the manager has checked.
  [[nodiscard]] bool configure(const frame::Access& settings);
  [[nodiscard]] bool is_on() const override { return is_on_; }
  /// Reserves the records of descriptors below `capacity`. False if the kernel rejects.
  [[nodiscard]] bool reserve(uint32_t capacity) { return principals_.reserve(capacity); }

  /// The manager has fetched the keys of --token-jwks-url because of an unknown one.
  void on_keys_checked(const frame::KeysChecked& order);

  /// Ends the connections of revoked tokens, and rejects those tokens from now on.
  void revoke(const frame::Revoke& order);
  /// An application names users too.
  void set_hook() { has_hook_ = true; }

  /// Disconnects all connections of a user.
  void disconnect_user(const frame::DisconnectUser& order);

  /// Calls `visit(fd)` for each connection of a user. `visit` may not change identities.
  template <typename Visit>
  void visit_user(std::string_view user, Visit visit) {
    if (is_on_) principals_.visit_user(user, visit);
  }

  /// The number of the connection's identity, which others of its user may share; 0 without one.
  [[nodiscard]] uint32_t identity(const Connection& connection) {
    return is_on_ ? principals_.identity(connection.fd()) : SharedTexts::kNone;
  }
  /// The hash of the id of the connection's token; 0 without one.
  [[nodiscard]] uint32_t token(const Connection& connection) {
    return is_on_ ? principals_.token_hash(connection.fd()) : 0;
  }
  [[nodiscard]] std::string_view user_of(uint32_t identity) const {
    return principals_.user_of(identity);
  }
  [[nodiscard]] std::string_view info_of(uint32_t identity) const {
    return principals_.info_of(identity);
  }
  /// Enters every user again, in empty tables of the limits.
  void recount_users();
  /// Empty for a connection without a user.
  [[nodiscard]] std::string_view user(int fd) { return principals_.user(fd); }

  /// Once a second: ends the connections whose token expires before the next call.
  void tick();

  [[nodiscard]] TokenFault identify(Connection* connection,
                                    std::string_view token,
                                    std::vector<std::string>* channels) override;
  [[nodiscard]] UrlFault identify_by_url(Connection* connection,
                                         const SignedUrl& url,
                                         const std::vector<std::string>& channels) override;
  [[nodiscard]] TokenFault refresh(Connection* connection,
                                   std::string_view token,
                                   std::vector<std::string>* lost) override;
  [[nodiscard]] TokenFault admit(Connection* connection,
                                 std::string_view token,
                                 std::vector<std::string>* channels) override;
  [[nodiscard]] TokenFault identify_as(Connection* connection,
                                       const frame::HookAnswer& answer,
                                       std::vector<std::string>* channels) override;
  [[nodiscard]] TokenFault refresh_as(Connection* connection,
                                      const frame::HookAnswer& answer,
                                      std::vector<std::string>* lost) override;
  [[nodiscard]] bool is_by_decision(Connection* connection) override;
  void append_channels(Connection* connection, std::vector<std::string>* channels) override;
  void forget(Connection* connection) override;
  [[nodiscard]] bool allows(Connection* connection, Action action, std::string_view name) override;
  [[nodiscard]] ClientPublish client_publish(std::string_view channel) override;
  [[nodiscard]] bool has_identity(Connection* connection) override {
    return is_on_ && principals_.has(connection->fd());
  }
  [[nodiscard]] std::string_view user(Connection* connection) override;
  [[nodiscard]] uint32_t ends_in_s(Connection* connection) override;
  [[nodiscard]] bool takes_tokens() const override { return authenticator_ != nullptr; }
  [[nodiscard]] bool takes_signed_urls() const override { return url_keys_ != nullptr; }
  [[nodiscard]] bool has_signed_mailboxes() const override { return has_signed_mailboxes_; }
  [[nodiscard]] std::string_view cookie_name() const override { return cookie_name_; }

 private:
  [[nodiscard]] bool set_url_keys(const frame::Access& settings);
  [[nodiscard]] TokenFault verify(std::string_view token, uint64_t now_s, Claims* out);
  [[nodiscard]] TokenFault verify_connection_token(std::string_view token,
                                                   uint64_t now_s,
                                                   Claims* out);
  TokenFault count(TokenFault fault);
  [[nodiscard]] TokenFault recognize(std::string_view token, uint64_t now_s, KnownToken* out);
  [[nodiscard]] bool is_granted(Connection* connection, Action action, std::string_view name);
  template <typename Test>
  [[nodiscard]] bool holds(std::string_view name, Test test) const;
  [[nodiscard]] bool may_see_presence(Connection* connection, std::string_view name);
  [[nodiscard]] bool may_read_history(Connection* connection, std::string_view name);
  [[nodiscard]] bool is_named_public(std::string_view name) const;
  [[nodiscard]] bool is_public(std::string_view name) const;
  [[nodiscard]] bool is_public(std::string_view name, const NamespaceRules& rules) const;
  [[nodiscard]] bool may_publish(Connection* connection, std::string_view channel);
  [[nodiscard]] bool is_subscribed(const Connection& connection, std::string_view channel) const;
  [[nodiscard]] KnownToken known_of(const frame::HookAnswer& answer, uint64_t now_s);
  void replace(Connection* connection,
               const KnownToken& token,
               uint64_t now_s,
               std::vector<std::string>* lost);
  void forget_known();
  [[nodiscard]] bool change_user(int fd, std::string_view user);
  [[nodiscard]] uint32_t end_of(const KnownToken& token, uint64_t now_s);
  template <typename Visit>
  void visit_subscriptions(const Connection& connection, Visit visit) const;

  Parts parts_;
  std::unique_ptr<Authenticator> authenticator_;
  /// Null without keys.
  std::unique_ptr<UrlKeys> url_keys_;
  Principals principals_;
  Revocations revocations_;
  UnknownKeys unknown_keys_;
  KnownTokens known_;
  SipKey digest_key_{};
  Ref<Grants> publics_;
  std::string cookie_name_;
  bool has_signed_mailboxes_ = false;
  bool is_on_ = false;
  bool has_hook_ = false;
};

}  // namespace megacomet
