// The rules of tokens for connections. See access.h.
#include "hub/access.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "codec/base64url.h"
#include "connection/session.h"
#include "os/openssl.h"
#include "os/sys.h"
#include "pubsub/channel_name.h"

namespace megacomet {

namespace {

/// Tokens that were issued together do not end together: each connection ends within the last
/// tenth of its token's life, and within the last minute.
constexpr uint64_t kSpreadShare = 10;
constexpr uint64_t kSpreadSecondsMax = 60;
constexpr uint64_t kEndMax = UINT32_MAX;

std::string decoded(const std::string& text) {
  std::string bytes(base64url_bytes(text.size()), '\0');
  const bool is_valid = base64url_decode(text, reinterpret_cast<uint8_t*>(bytes.data()));
  return is_valid ? bytes : std::string();
}

/// A user may have the channels to which the application subscribes it.
void add_claimed_channels(Claims* claims) {
  std::vector<std::string>& names = claims->grants[static_cast<size_t>(Action::kSubscribe)];
  names.insert(names.end(), claims->channels.begin(), claims->channels.end());
}

Counter counter_of(TokenFault fault) {
  switch (fault) {
    case TokenFault::kNone:
      return Counter::kTokensAcceptedTotal;
    case TokenFault::kExpired:
      return Counter::kTokensRejectedExpiredTotal;
    case TokenFault::kRevoked:
      return Counter::kTokensRejectedRevokedTotal;
    case TokenFault::kKeyPending:
      return Counter::kTokensRejectedKeyPendingTotal;
    case TokenFault::kAlgorithm:
    case TokenFault::kUnknownKey:
    case TokenFault::kSignature:
      return Counter::kTokensRejectedKeyTotal;
    default:
      return Counter::kTokensRejectedOtherTotal;
  }
}

}  // namespace

bool Access::configure(const frame::Access& settings) {
  is_on_ = true;
  cookie_name_ = settings.cookie;
  GrantTexts publics;
  publics[static_cast<size_t>(Action::kSubscribe)] = settings.publics;
  publics_ = make_ref<Grants>(publics);
  const size_t count = settings.keys.size();
  if (settings.algorithms.size() != count || settings.key_ids.size() != count) return false;
  // Tokens that were verified with an old key are verified again.
  forget_known();
  if (!set_url_keys(settings)) return false;
  const bool has_remote = (settings.flags & access_flag::kRemoteKeys) != 0;
  if (count == 0 && !has_remote) {
    authenticator_ = nullptr;
    return true;
  }
  const OpenSsl* openssl = find_openssl();
  if (openssl == nullptr || !sys::fill_random(&digest_key_, sizeof digest_key_)) return false;
  auto authenticator = std::make_unique<Authenticator>(*openssl);
  for (size_t key = 0; key < count; ++key) {
    if (settings.algorithms[key] > static_cast<uint64_t>(TokenAlgorithm::kEdDsa)) return false;
    const auto algorithm = static_cast<TokenAlgorithm>(settings.algorithms[key]);
    const std::string bytes = decoded(settings.keys[key]);
    if (authenticator->keys().add(algorithm, settings.key_ids[key], bytes) != nullptr) return false;
  }
  const bool allows_no_expiry = (settings.flags & access_flag::kNoExpiry) != 0;
  authenticator->set_rules(
      {settings.issuer, settings.audience, settings.leeway_s, allows_no_expiry});
  const bool is_pending = (settings.flags & access_flag::kKeysPending) != 0;
  if (has_remote) {
    authenticator->set_remote_keys(is_pending ? RemoteKeys::kPending : RemoteKeys::kKnown);
  }
  authenticator_ = std::move(authenticator);
  return true;
}

bool Access::set_url_keys(const frame::Access& settings) {
  has_signed_mailboxes_ = (settings.flags & access_flag::kSignedMailboxes) != 0;
  url_keys_ = nullptr;
  if (settings.url_keys.empty()) return true;
  const OpenSsl* openssl = find_openssl();
  if (openssl == nullptr) return false;
  auto keys = std::make_unique<UrlKeys>(*openssl);
  for (const std::string& key : settings.url_keys) {
    if (!keys->add(decoded(key))) return false;
  }
  url_keys_ = std::move(keys);
  return true;
}

void Access::tick() {
  if (!is_on_) return;
  const uint64_t now_s = sys::wall_s();
  revocations_.trim(now_s);
  principals_.trim();
  // An end between this call and the next one must not wait for that.
  const uint64_t until_s = now_s + 1;
  principals_.visit_ended(static_cast<uint32_t>(std::min(until_s, kEndMax - 1)), [this](int fd) {
    Connection* connection = parts_.records->at(fd);
    // It had a second to take the bytes that were queued before.
    if (connection->is_closing) return parts_.connections->close(connection, CloseCause::kExpired);
    parts_.connections->disconnect(connection, CloseCause::kExpired, {});
  });
}

void Access::on_keys_checked(const frame::KeysChecked& order) {
  unknown_keys_.on_checked(order.seconds, sys::monotonic_ns());
}

void Access::revoke(const frame::Revoke& order) {
  if (!is_on_) return;
  revocations_.add(order, sys::wall_s());
  const RevokedTokens tokens{order.user, Principals::hash_of_id(order.id), order.before_s};
  // Only these: to forget tens of thousands takes 40 ms, and all others would be verified again.
  known_.forget(
      [&](const KnownToken& one) {
        return principals_.is_revoked(tokens, one.identity, one.id_hash, one.issued_at_s);
      },
      [this](uint32_t identity) { principals_.release(identity); });
  principals_.visit_revoked(tokens, [this](int fd) {
    parts_.connections->disconnect(
        parts_.records->at(fd), CloseCause::kExpired, describe(TokenFault::kRevoked));
  });
}

void Access::disconnect_user(const frame::DisconnectUser& order) {
  if (!is_on_) return;
  principals_.visit_user(order.user, [&](int fd) {
    parts_.connections->disconnect(parts_.records->at(fd), CloseCause::kKicked, order.reason);
  });
}

TokenFault Access::count(TokenFault fault) {
  if (fault != TokenFault::kNone) parts_.counters->add(Counter::kTokensRejectedTotal);
  parts_.counters->add(counter_of(fault));
  return fault;
}

TokenFault Access::verify(std::string_view token, uint64_t now_s, Claims* out) {
  // Public channels alone need no keys, and then no token is believed.
  if (authenticator_ == nullptr) return TokenFault::kUnknownKey;
  const TokenFault fault = authenticator_->authenticate(token, now_s, out);
  if (fault == TokenFault::kKeyPending) return unknown_keys_.note(sys::monotonic_ns());
  const bool is_revoked = fault == TokenFault::kNone && revocations_.has(*out);
  return is_revoked ? TokenFault::kRevoked : fault;
}

TokenFault Access::verify_connection_token(std::string_view token, uint64_t now_s, Claims* out) {
  const TokenFault fault = verify(token, now_s, out);
  if (fault != TokenFault::kNone) return fault;
  if (!out->channel.empty()) return TokenFault::kPurpose;
  const std::vector<std::string>& channels = out->channels;
  if (!std::all_of(channels.begin(), channels.end(), is_channel)) return TokenFault::kMalformed;
  add_claimed_channels(out);
  return TokenFault::kNone;
}

uint32_t Access::end_of(const KnownToken& token, uint64_t now_s) {
  const uint64_t end_s = token.expires_at_s;
  if (end_s == kEndMax) return 0;
  const uint64_t begin_s = token.issued_at_s == 0 ? now_s : token.issued_at_s;
  const uint64_t life_s = end_s > begin_s ? end_s - begin_s : 0;
  // A client that presents its token late keeps half of the remaining time: it would return at
  // once.
  const uint64_t left_s = end_s > now_s ? end_s - now_s : 0;
  const uint64_t spread_s = std::min({life_s / kSpreadShare, kSpreadSecondsMax, left_s / 2});
  const uint64_t early_s = parts_.random->below(static_cast<uint32_t>(spread_s) + 1);
  return static_cast<uint32_t>(end_s - std::min(early_s, end_s - 1));
}

void Access::forget_known() {
  known_.clear([this](uint32_t identity) { principals_.release(identity); });
}

/// Verifies a token, or finds it among those that were verified.
TokenFault Access::recognize(std::string_view token, uint64_t now_s, KnownToken* out) {
  const SipDigest digest = siphash128(digest_key_, token);
  const KnownToken* known = known_.find(digest);
  if (known != nullptr) {
    *out = *known;
    const bool is_expired = authenticator_->is_expired(known->expires_at_s, now_s);
    return is_expired ? TokenFault::kExpired : TokenFault::kNone;
  }
  Claims claims;
  const TokenFault fault = verify_connection_token(token, now_s, &claims);
  if (fault != TokenFault::kNone) return fault;
  const uint64_t end_s = claims.expires_at_s == 0 ? kEndMax : claims.expires_at_s;
  out->digest = digest;
  out->identity = principals_.acquire(claims);
  out->expires_at_s = static_cast<uint32_t>(std::min(end_s, kEndMax));
  out->issued_at_s = static_cast<uint32_t>(std::min(claims.issued_at_s, kEndMax));
  out->id_hash = Principals::hash_of_id(claims.id);
  const uint32_t replaced = known_.add(*out);
  if (replaced != 0) principals_.release(replaced);
  return TokenFault::kNone;
}

TokenFault Access::identify(Connection* connection,
                            std::string_view token,
                            std::vector<std::string>* channels) {
  const uint64_t now_s = sys::wall_s();
  KnownToken known;
  const TokenFault fault = count(recognize(token, now_s, &known));
  if (fault != TokenFault::kNone) return fault;
  if (!change_user(connection->fd(), principals_.user_of(known.identity))) {
    return TokenFault::kUserFull;
  }
  principals_.set(connection->fd(), known, end_of(known, now_s));
  append_channels(connection, channels);
  return TokenFault::kNone;
}

void Access::append_channels(Connection* connection, std::vector<std::string>* channels) {
  const Ref<Grants> grants = principals_.grants(connection->fd());
  if (!grants) return;
  channels->insert(channels->end(), grants->channels().begin(), grants->channels().end());
}

UrlFault Access::identify_by_url(Connection* connection,
                                 const SignedUrl& url,
                                 const std::vector<std::string>& channels) {
  const uint64_t now_s = sys::wall_s();
  const UrlFault fault = url_keys_->verify(url, now_s);
  if (fault != UrlFault::kNone) return fault;
  Claims claims;
  claims.grants[static_cast<size_t>(Action::kSubscribe)] = channels;
  KnownToken known;
  known.identity = principals_.acquire(claims);
  known.expires_at_s = url.expires_at_s;
  principals_.set(connection->fd(), known, end_of(known, now_s));
  principals_.release(known.identity);
  return UrlFault::kNone;
}

template <typename Visit>
void Access::visit_subscriptions(const Connection& connection, Visit visit) const {
  if (connection.state == ConnectionState::kSubscribed) visit(connection.only.channel);
  if (!connection.is_busy()) return;
  for (const Subscription& one : connection.session->subscriptions) visit(one.channel);
}

TokenFault Access::refresh(Connection* connection,
                           std::string_view token,
                           std::vector<std::string>* lost) {
  const uint64_t now_s = sys::wall_s();
  KnownToken known;
  TokenFault fault = recognize(token, now_s, &known);
  const bool is_known = fault == TokenFault::kNone;
  if (is_known && principals_.user_of(known.identity) != user(connection)) {
    fault = TokenFault::kUser;
  }
  if (count(fault) != TokenFault::kNone) return fault;
  replace(connection, known, now_s, lost);
  return TokenFault::kNone;
}

/// Gives the connection another identity of its user; `lost` gets the subscribed channels that only
/// the old one allows.
void Access::replace(Connection* connection,
                     const KnownToken& token,
                     uint64_t now_s,
                     std::vector<std::string>* lost) {
  const Ref<Grants> old = principals_.grants(connection->fd());
  principals_.set(connection->fd(), token, end_of(token, now_s));
  visit_subscriptions(*connection, [&](uint32_t channel) {
    const std::string& name = parts_.channels->at(channel).name;
    const bool was_granted = old && old->allows(Action::kSubscribe, name);
    if (was_granted && !allows(connection, Action::kSubscribe, name)) lost->push_back(name);
  });
}

/// A decision as if it were a token that was issued now. Its identity has one user more, which the
/// caller releases.
KnownToken Access::known_of(const frame::HookAnswer& answer, uint64_t now_s) {
  Claims claims;
  claims.is_by_decision = true;
  claims.user = answer.user;
  claims.info = answer.info;
  claims.channels = answer.channels;
  claims.grants = {answer.subscribe, answer.publish, answer.presence, answer.history};
  add_claimed_channels(&claims);
  KnownToken known;
  known.identity = principals_.acquire(claims);
  known.expires_at_s =
      answer.expires_at_s == 0 ? static_cast<uint32_t>(kEndMax) : answer.expires_at_s;
  known.issued_at_s = static_cast<uint32_t>(std::min(now_s, kEndMax));
  return known;
}

TokenFault Access::identify_as(Connection* connection,
                               const frame::HookAnswer& answer,
                               std::vector<std::string>* channels) {
  if (!change_user(connection->fd(), answer.user)) return TokenFault::kUserFull;
  const uint64_t now_s = sys::wall_s();
  const KnownToken known = known_of(answer, now_s);
  principals_.set(connection->fd(), known, end_of(known, now_s));
  principals_.release(known.identity);
  append_channels(connection, channels);
  return TokenFault::kNone;
}

TokenFault Access::refresh_as(Connection* connection,
                              const frame::HookAnswer& answer,
                              std::vector<std::string>* lost) {
  if (answer.user != user(connection)) return TokenFault::kUser;
  const uint64_t now_s = sys::wall_s();
  const KnownToken known = known_of(answer, now_s);
  replace(connection, known, now_s, lost);
  principals_.release(known.identity);
  return TokenFault::kNone;
}

bool Access::is_by_decision(Connection* connection) {
  const Ref<Grants> grants = principals_.grants(connection->fd());
  return grants && grants->is_by_decision();
}

TokenFault Access::admit(Connection* connection,
                         std::string_view token,
                         std::vector<std::string>* channels) {
  // Before the token is verified: a client without an identity must not make the worker verify as
  // many tokens as a WebSocket may send commands.
  if (!has_identity(connection)) return count(TokenFault::kUser);
  Claims claims;
  TokenFault fault = verify(token, sys::wall_s(), &claims);
  if (fault == TokenFault::kNone && claims.channel.empty()) fault = TokenFault::kPurpose;
  // One without a user is for every client. The token of the connection ends the subscription.
  const bool is_other = !claims.user.empty() && claims.user != user(connection);
  if (fault == TokenFault::kNone && is_other) fault = TokenFault::kUser;
  if (count(fault) != TokenFault::kNone) return fault;
  channels->push_back(std::move(claims.channel));
  return TokenFault::kNone;
}

/// Counts a connection for another user, or for none. False if that user has as many as it may.
bool Access::change_user(int fd, std::string_view user) {
  if (!parts_.limits->counts_users()) return true;
  const std::string_view old = principals_.user(fd);
  if (old == user) return true;
  if (!user.empty() && !parts_.limits->enter_user(user)) return false;
  if (!old.empty()) parts_.limits->leave_user(old);
  return true;
}

void Access::recount_users() {
  if (!is_on_ || !parts_.limits->counts_users()) return;
  principals_.visit_users([this](std::string_view name) { parts_.limits->recount_user(name); });
}

void Access::forget(Connection* connection) {
  if (!is_on_) return;
  static_cast<void>(change_user(connection->fd(), {}));
  principals_.forget(connection->fd());
}

bool Access::is_granted(Connection* connection, Action action, std::string_view name) {
  if (!is_on_) return false;
  const Ref<Grants> grants = principals_.grants(connection->fd());
  return grants && grants->allows(action, name);
}

/// Whether everybody may subscribe to a channel, or to a pattern but for the namespaces within it.
bool Access::is_public(std::string_view name, const NamespaceRules& rules) const {
  if (rules.publicity != Publicity::kServer) return rules.publicity == Publicity::kPublic;
  return !is_on_ || publics_->allows(Action::kSubscribe, name);
}

/// Whether a test holds for a channel, or for a pattern and all namespaces within it.
template <typename Test>
bool Access::holds(std::string_view name, Test test) const {
  const Namespaces& namespaces = *parts_.namespaces;
  if (!test(name, namespaces.of(name))) return false;
  return !is_pattern(name) || namespaces.all_within(name, test);
}

bool Access::is_public(std::string_view name) const {
  return holds(name, [this](std::string_view pattern, const NamespaceRules& rules) {
    return is_public(pattern, rules);
  });
}

/// Whether the configuration says that everybody may subscribe; not only that it says nothing.
bool Access::is_named_public(std::string_view name) const {
  return holds(name, [this](std::string_view pattern, const NamespaceRules& rules) {
    return (is_on_ || rules.publicity == Publicity::kPublic) && is_public(pattern, rules);
  });
}

/// Presence shows users and their info, so it is public only where clients have no user.
bool Access::may_see_presence(Connection* connection, std::string_view name) {
  if (!parts_.namespaces->of(name).has_presence) return false;
  if (is_granted(connection, Action::kPresence, name)) return true;
  return !takes_tokens() && !has_hook_ && is_named_public(name);
}

/// A subscriber reads the history with a cursor too, so the history is public with its channel.
bool Access::may_read_history(Connection* connection, std::string_view name) {
  const bool has_history = holds(
      name, [](std::string_view, const NamespaceRules& rules) { return rules.has_client_history; });
  return has_history && (is_granted(connection, Action::kHistory, name) || is_named_public(name));
}

ClientPublish Access::client_publish(std::string_view channel) {
  const ClientPublish given = parts_.namespaces->of(channel).client_publish;
  if (given != ClientPublish::kServer) return given;
  const bool is_allowed = (parts_.rules->flags & comet_flag::kClientsPublish) != 0;
  if (!is_allowed) return ClientPublish::kNobody;
  return is_on_ ? ClientPublish::kGrant : ClientPublish::kServer;
}

bool Access::may_publish(Connection* connection, std::string_view channel) {
  switch (client_publish(channel)) {
    case ClientPublish::kServer:
      return true;
    case ClientPublish::kNobody:
      return false;
    case ClientPublish::kSubscribers:
      if (is_subscribed(*connection, channel)) return true;
      break;
    case ClientPublish::kGrant:
      break;
  }
  return is_granted(connection, Action::kPublish, channel);
}

bool Access::is_subscribed(const Connection& connection, std::string_view channel) const {
  bool is_found = false;
  visit_subscriptions(connection, [&](uint32_t index) {
    is_found = is_found || parts_.channels->at(index).name == channel;
  });
  return is_found;
}

bool Access::allows(Connection* connection, Action action, std::string_view name) {
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

std::string_view Access::user(Connection* connection) {
  if (!is_on_) return {};
  return principals_.user(connection->fd());
}

uint32_t Access::ends_in_s(Connection* connection) {
  const uint32_t end_s = principals_.ends_at_s(connection->fd());
  const uint64_t now_s = sys::wall_s();
  if (end_s == 0) return 0;
  return end_s > now_s ? static_cast<uint32_t>(end_s - now_s) : 1;
}

}  // namespace megacomet
