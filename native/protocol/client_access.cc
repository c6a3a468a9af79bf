// Finding tokens in requests, and asking the access service. See client_access.h.
#include "protocol/client_access.h"

#include <algorithm>

#include "base/ascii.h"
#include "pubsub/channel_name.h"

namespace megacomet {

namespace {

/// The token of `Authorization: Bearer TOKEN` (RFC 6750 2.1); empty for another scheme.
std::string_view bearer_token(const HttpHead& head) {
  constexpr std::string_view kScheme = "bearer ";
  std::string_view value = head.value(Field::kAuthorization);
  if (value.size() <= kScheme.size()) return {};
  if (!ascii::equals(value.substr(0, kScheme.size()), kScheme)) return {};
  value.remove_prefix(kScheme.size());
  while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
  return value;
}

/// The value of the first cookie of that name (RFC 6265 4.2.1).
std::string_view cookie_value(std::string_view cookies, std::string_view name) {
  while (!cookies.empty()) {
    const size_t end = std::min(cookies.find(';'), cookies.size());
    std::string_view pair = cookies.substr(0, end);
    cookies.remove_prefix(std::min(end + 1, cookies.size()));
    while (!pair.empty() && pair.front() == ' ') pair.remove_prefix(1);
    const size_t equals = pair.find('=');
    if (equals != std::string_view::npos && pair.substr(0, equals) == name) {
      return pair.substr(equals + 1);
    }
  }
  return {};
}

std::string_view cookie_token(const Services& services, const HttpHead& head) {
  const std::string_view name = services.access->cookie_name();
  if (name.empty() || !is_of_known_page(head, *services.rules)) return {};
  for (size_t line = 0; line < head.lines_count; ++line) {
    if (head.lines[line].field() != Field::kCookie) continue;
    const std::string_view value = cookie_value(head.lines[line].value(), name);
    if (!value.empty()) return value;
  }
  return {};
}

// RFC 6750 3: a challenge has at least one parameter.
constexpr HttpFault kTokenRequired{401, "token is required", "Bearer realm=\"megacomet-ts\""};
constexpr HttpFault kDenied{403,
                            "channel: not allowed with this token",
                            "Bearer realm=\"megacomet-ts\", error=\"insufficient_scope\""};

/// 503 for a token that may be valid as soon as the manager has its key, else 401.
HttpFault invalid_token(TokenFault fault) {
  if (fault == TokenFault::kKeyPending) return {503, describe(fault)};
  return {401, describe(fault), "Bearer realm=\"megacomet-ts\", error=\"invalid_token\""};
}

/// Gives the connection the identity of the request's token, if it has one, and the request the
/// channels of that token. A rejected token of a cookie counts as none: `in_cookie` gets its fault.
HttpFault identify(Services& services,
                   Connection* connection,
                   const HttpHead& head,
                   CometRequest* request,
                   TokenFault* in_cookie) {
  // What a client says on purpose comes before what a browser adds.
  std::string_view token = bearer_token(head);
  if (token.empty()) token = request->token;
  const bool is_cookie = token.empty();
  if (is_cookie) token = cookie_token(services, head);
  if (token.empty()) return {};
  const TokenFault fault = services.access->identify(connection, token, &request->channels);
  if (fault == TokenFault::kUserFull) return {429, describe(fault)};
  // A page cannot keep its browser from sending an old cookie.
  if (is_cookie) *in_cookie = fault;
  if (fault != TokenFault::kNone) return is_cookie ? HttpFault{} : invalid_token(fault);
  remove_repeated(&request->channels);
  const char* error =
      too_many_channels(request->channels, services.rules->channels_per_connection_max);
  return error == nullptr ? HttpFault{} : HttpFault{413, error};
}

}  // namespace

HttpFault check_subscribe_access(Services& services,
                                 Connection* connection,
                                 const std::vector<std::string>& channels,
                                 const std::vector<std::string>& tokens) {
  AccessService* access = services.access;
  std::vector<std::string> admitted;
  for (const std::string& token : tokens) {
    const TokenFault fault = access->admit(connection, token, &admitted);
    if (fault != TokenFault::kNone) return invalid_token(fault);
  }
  for (const std::string& channel : channels) {
    if (std::find(admitted.begin(), admitted.end(), channel) != admitted.end()) continue;
    if (access->allows(connection, Action::kSubscribe, channel)) continue;
    services.counters->add(Counter::kAccessDeniedTotal);
    return access->has_identity(connection) ? kDenied : kTokenRequired;
  }
  return {};
}

bool is_unknown(Services& services, Connection* connection) {
  return services.access->takes_tokens() && !services.access->has_identity(connection);
}

bool may_publish(Services& services, Connection* connection, std::string_view channel) {
  if (services.access->allows(connection, Action::kPublish, channel)) return true;
  services.counters->add(Counter::kAccessDeniedTotal);
  return false;
}

bool may_read(Services& services,
              Connection* connection,
              ClientRequestKind kind,
              std::string_view channel) {
  const Action action = kind == ClientRequestKind::kPresence ? Action::kPresence : Action::kHistory;
  const bool may = services.access->allows(connection, action, channel);
  if (!may) services.counters->add(Counter::kAccessDeniedTotal);
  return may;
}

HttpFault check_request_access(Services& services,
                               Connection* connection,
                               const HttpHead& head,
                               CometRequest* request) {
  // Each request of a connection has an identity of its own.
  services.access->forget(connection);
  // A mailbox's id is its own secret.
  if (request->route == CometRoute::kMailbox) return {};
  TokenFault in_cookie = TokenFault::kNone;
  HttpFault fault;
  if (services.access->is_on()) {
    fault = identify(services, connection, head, request, &in_cookie);
  }
  if (fault.code == 0) {
    fault =
        check_subscribe_access(services, connection, request->channels, request->channel_tokens);
  }
  // The cookie may hold the token that the request needs.
  if (fault.code == 401 && in_cookie == TokenFault::kKeyPending) fault = invalid_token(in_cookie);
  if (fault.code != 0) services.access->forget(connection);
  return fault;
}

}  // namespace megacomet
