// The identities of the clients of one worker: gives, changes and ends them. Tokens are verified
// with the manager's keys; no token waits for the manager.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "auth/client_certificates.h"
#include "auth/known_tokens.h"
#include "auth/principals.h"
#include "auth/token.h"
#include "base/random.h"
#include "connection/client_limits.h"
#include "connection/services.h"
#include "hub/channel_tokens.h"
#include "hub/crowd_orders.h"
#include "hub/permissions.h"
#include "hub/token_expiry.h"
#include "hub/token_verifier.h"
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
    CrowdOrders* crowd;
  };
  explicit Access(const Parts& parts);
  Access(const Access&) = delete;
  Access& operator=(const Access&) = delete;
  ~Access() = default;

  /// Takes the manager's settings; a second time for changed keys. False if a key is not valid,
  /// which the manager has checked.
  [[nodiscard]] bool configure(const frame::Access& settings);
  [[nodiscard]] bool is_on() const override { return is_on_; }
  /// Reserves the records of descriptors below `capacity`. False if the kernel rejects.
  [[nodiscard]] bool reserve(uint32_t capacity) {
    return principals_.reserve(capacity) && (!has_certificates_ || certificates_.reserve(capacity));
  }

  /// The manager has fetched the keys of --token-jwks-url because of an unknown one.
  void on_keys_checked(const frame::KeysChecked& order);

  /// Ends the connections of revoked tokens, and rejects those tokens from now on. Returns, by
  /// channel, the connections whose revoked token was for that channel alone, and which may not
  /// subscribe to it otherwise.
  [[nodiscard]] std::map<std::string, std::vector<ConnectionName>> revoke(
      const frame::Revoke& order);
  /// The connection left a channel, or all of them: their tokens do not matter any more.
  void forget_channel(const Connection& connection, std::string_view channel) {
    channel_tokens_.forget(connection.fd(), channel);
  }
  void forget_channels(const Connection& connection) { channel_tokens_.forget(connection.fd()); }
  /// An application names users too.
  void set_hook();

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
  [[nodiscard]] TokenFault certify(Connection* connection,
                                   const ClientCertificate& certificate) override;
  void forget(Connection* connection) override;
  /// The connection closes.
  void leave(Connection* connection);
  [[nodiscard]] bool allows(Connection* connection, Action action, std::string_view name) override {
    return permissions_.allows(*connection, action, name);
  }
  [[nodiscard]] ClientPublish client_publish(std::string_view channel) override {
    return permissions_.client_publish(channel);
  }
  [[nodiscard]] bool has_identity(Connection* connection) override {
    return is_on_ && principals_.has(connection->fd());
  }
  [[nodiscard]] std::string_view user(Connection* connection) override;
  [[nodiscard]] uint32_t ends_in_s(Connection* connection) override;
  [[nodiscard]] bool takes_tokens() const override { return verifier_.takes_tokens(); }
  [[nodiscard]] bool takes_signed_urls() const override { return verifier_.takes_signed_urls(); }
  [[nodiscard]] bool has_signed_mailboxes() const override { return has_signed_mailboxes_; }
  [[nodiscard]] std::string_view cookie_name() const override { return cookie_name_; }

 private:
  TokenFault count(TokenFault fault);
  [[nodiscard]] KnownToken known_of(const frame::HookAnswer& answer, uint64_t now_s);
  void replace(Connection* connection,
               const KnownToken& token,
               uint64_t now_s,
               std::vector<std::string>* lost);
  void disconnect(std::vector<ConnectionName> names, CloseCause cause, std::string reason);
  [[nodiscard]] bool change_user(int fd, std::string_view user);

  Parts parts_;
  Principals principals_;
  ClientCertificates certificates_{&principals_};
  TokenVerifier verifier_;
  TokenExpiry expiry_;
  Permissions permissions_;
  ChannelTokens channel_tokens_;
  std::string cookie_name_;
  bool has_signed_mailboxes_ = false;
  bool has_certificates_ = false;
  bool is_on_ = false;
  bool has_hook_ = false;
};

}  // namespace megacomet
