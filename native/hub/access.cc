// The rules of tokens for connections. See access.h.
#include "hub/access.h"

#include <algorithm>
#include <utility>

#include "os/sys.h"

namespace megacomet {

namespace {

constexpr uint64_t kTimeMax = UINT32_MAX;

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

Access::Access(const Parts& parts)
    : parts_(parts),
      verifier_(&principals_, parts.control),
      expiry_({&principals_, parts.connections, parts.records, parts.random}),
      permissions_({parts.channels, parts.namespaces, parts.rules, &principals_}) {}

bool Access::configure(const frame::Access& settings) {
  is_on_ = true;
  cookie_name_ = settings.cookie;
  has_signed_mailboxes_ = (settings.flags & access_flag::kSignedMailboxes) != 0;
  has_certificates_ = (settings.flags & access_flag::kCertificates) != 0;
  permissions_.set_publics(settings.publics);
  const bool is_valid = verifier_.configure(settings);
  permissions_.set_users(has_hook_ || has_certificates_ || takes_tokens());
  return is_valid;
}

void Access::set_hook() {
  has_hook_ = true;
  permissions_.set_users(true);
}

void Access::tick() {
  if (!is_on_) return;
  const uint64_t now_s = sys::wall_s();
  verifier_.trim(now_s);
  principals_.trim();
  expiry_.end_expired(now_s);
}

void Access::on_keys_checked(const frame::KeysChecked& order) {
  verifier_.on_keys_checked(order, sys::monotonic_ns());
}

std::map<std::string, std::vector<ConnectionName>> Access::revoke(const frame::Revoke& order) {
  std::map<std::string, std::vector<ConnectionName>> lost;
  if (!is_on_) return lost;
  const RevokedTokens tokens{order.user, Principals::hash_of_id(order.id), order.before_s};
  verifier_.revoke(order, tokens, sys::wall_s());
  std::vector<ConnectionName> names;
  principals_.visit_revoked(tokens,
                            [&](int fd) { names.push_back(name_of(*parts_.records->at(fd))); });
  disconnect(std::move(names), CloseCause::kExpired, describe(TokenFault::kRevoked));
  // A token of the user ends its connections, so only an id can be that of such a token.
  if (tokens.id_hash == 0) return lost;
  channel_tokens_.visit([&](int fd, const ChannelToken& token) {
    if (token.id_hash != tokens.id_hash || token.issued_at_s > tokens.before_s) return;
    Connection* connection = parts_.records->at(fd);
    if (allows(connection, Action::kSubscribe, token.channel)) return;
    lost[token.channel].push_back(name_of(*connection));
  });
  return lost;
}

void Access::disconnect_user(const frame::DisconnectUser& order) {
  std::vector<ConnectionName> names;
  visit_user(order.user, [&](int fd) { names.push_back(name_of(*parts_.records->at(fd))); });
  disconnect(std::move(names), CloseCause::kKicked, order.reason);
}

void Access::disconnect(std::vector<ConnectionName> names, CloseCause cause, std::string reason) {
  parts_.crowd->add(std::move(names),
                    [owner = parts_.connections, cause, reason = std::move(reason)](
                        Connection* connection) { owner->disconnect(connection, cause, reason); });
}

TokenFault Access::count(TokenFault fault) {
  if (fault != TokenFault::kNone) parts_.counters->add(Counter::kTokensRejectedTotal);
  parts_.counters->add(counter_of(fault));
  return fault;
}

TokenFault Access::identify(Connection* connection,
                            std::string_view token,
                            std::vector<std::string>* channels) {
  const uint64_t now_s = sys::wall_s();
  KnownToken known;
  const TokenFault fault = count(verifier_.recognize(token, now_s, &known));
  if (fault != TokenFault::kNone) return fault;
  if (!change_user(connection->fd(), principals_.user_of(known.identity))) {
    return TokenFault::kUserFull;
  }
  principals_.set(connection->fd(), known, expiry_.end_of(known, now_s));
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
  const UrlFault fault = verifier_.verify_url(url, now_s);
  if (fault != UrlFault::kNone) return fault;
  Claims claims;
  claims.grants[static_cast<size_t>(Action::kSubscribe)] = channels;
  KnownToken known;
  known.identity = principals_.acquire(claims);
  known.expires_at_s = url.expires_at_s;
  principals_.set(connection->fd(), known, expiry_.end_of(known, now_s));
  principals_.release(known.identity);
  return UrlFault::kNone;
}

TokenFault Access::refresh(Connection* connection,
                           std::string_view token,
                           std::vector<std::string>* lost) {
  const uint64_t now_s = sys::wall_s();
  KnownToken known;
  TokenFault fault = verifier_.recognize(token, now_s, &known);
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
  principals_.set(connection->fd(), token, expiry_.end_of(token, now_s));
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
  grant_claimed_channels(&claims);
  KnownToken known;
  known.identity = principals_.acquire(claims);
  known.expires_at_s =
      answer.expires_at_s == 0 ? static_cast<uint32_t>(kTimeMax) : answer.expires_at_s;
  known.issued_at_s = static_cast<uint32_t>(std::min(now_s, kTimeMax));
  return known;
}

TokenFault Access::identify_as(Connection* connection,
                               const frame::HookAnswer& answer,
                               std::vector<std::string>* channels) {
  if (!change_user(connection->fd(), answer.user)) return TokenFault::kUserFull;
  const uint64_t now_s = sys::wall_s();
  const KnownToken known = known_of(answer, now_s);
  principals_.set(connection->fd(), known, expiry_.end_of(known, now_s));
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
  TokenFault fault = verifier_.verify(token, sys::wall_s(), &claims);
  if (fault == TokenFault::kNone && claims.channel.empty()) fault = TokenFault::kPurpose;
  // One without a user is for every client. The token of the connection ends the subscription.
  const bool is_other = !claims.user.empty() && claims.user != user(connection);
  if (fault == TokenFault::kNone && is_other) fault = TokenFault::kUser;
  if (count(fault) != TokenFault::kNone) return fault;
  const auto issued_at_s = static_cast<uint32_t>(std::min(claims.issued_at_s, kTimeMax));
  channel_tokens_.note(connection->fd(),
                       {claims.channel, Principals::hash_of_id(claims.id), issued_at_s});
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

TokenFault Access::certify(Connection* connection, const ClientCertificate& certificate) {
  if (!is_on_ || !has_certificates_) return TokenFault::kNone;
  Claims claims;
  claims.user = certificate.subject;
  claims.issued_at_s = certificate.begins_at_s;
  if (verifier_.is_revoked(claims)) return count(TokenFault::kRevoked);
  if (!change_user(connection->fd(), certificate.subject)) return TokenFault::kUserFull;
  certificates_.add(connection->fd(), certificate);
  return TokenFault::kNone;
}

void Access::forget(Connection* connection) {
  if (!is_on_) return;
  const int fd = connection->fd();
  // The user of the certificate may have too many connections meanwhile.
  if (!change_user(fd, certificates_.user(fd))) static_cast<void>(change_user(fd, {}));
  principals_.forget(fd);
  forget_channels(*connection);
  certificates_.restore(fd);
}

void Access::leave(Connection* connection) {
  if (!is_on_) return;
  static_cast<void>(change_user(connection->fd(), {}));
  principals_.forget(connection->fd());
  certificates_.forget(connection->fd());
  forget_channels(*connection);
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
