// Finding tokens in requests, and asking the access service. See client_access.h.
#include "protocol/client_access.h"

#include <algorithm>
#include <utility>

#include "base/ascii.h"
#include "protocol/hook_request_fields.h"
#include "protocol/request_cookies.h"
#include "protocol/signed_request.h"
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

std::string_view cookie_token(const Services& services, const HttpHead& head) {
  const std::string_view name = services.access->cookie_name();
  if (name.empty() || !is_of_known_page(head, *services.rules)) return {};
  return cookie_in(head, name);
}

constexpr HttpFault kTokenRequired{401, "token is required", kChallenge};
constexpr HttpFault kDenied{403, "channel: not allowed with this token", kScopeChallenge};

/// 503 for a token that may be valid as soon as the manager has its key, else 401.
HttpFault invalid_token(TokenFault fault) {
  if (fault == TokenFault::kKeyPending) return {503, describe(fault)};
  return {401, describe(fault), kTokenChallenge};
}

/// The credential of a client. One that the client names itself comes before a cookie, which a
/// browser adds.
struct Presented {
  std::string_view token;
  bool is_cookie = false;
};

Presented presented_token(const Services& services,
                          const HttpHead& head,
                          const CometRequest& request) {
  std::string_view token = bearer_token(head);
  if (token.empty()) token = request.token;
  if (!token.empty()) return {token};
  return {cookie_token(services, head), true};
}

/// The channels of an identity are those of the request too.
HttpFault check_channel_count(const Services& services, CometRequest* request) {
  remove_repeated(&request->channels);
  const char* error =
      too_many_channels(request->channels, services.rules->channels_per_connection_max);
  return error == nullptr ? HttpFault{} : HttpFault{413, error};
}

/// Asks about a client without a token, unless it presents nothing and needs nothing.
AccessCheck ask_to_connect(Services& services,
                           Connection* connection,
                           const HttpHead& head,
                           const CometRequest& request,
                           std::string_view token) {
  if (request.route == CometRoute::kWebSocketEcho) return {};
  frame::HookRequest hook_request =
      hook_request_about(HookAction::kConnect, request.channels, token);
  const HttpFault fault = add_credentials(services, head, request.route, &hook_request);
  if (fault.code != 0) return {fault, {}};
  const bool presents_something =
      !token.empty() || !hook_request.header_names.empty() || !hook_request.cookie_names.empty();
  const bool is_public = std::all_of(
      request.channels.begin(), request.channels.end(), [&](const std::string& channel) {
        return services.access->allows(connection, Action::kSubscribe, channel);
      });
  if (is_public && !presents_something) return {};
  return {{}, std::move(hook_request)};
}

/// Gives the connection the identity of the request's token, if it has one, and the request the
/// channels of that token. A rejected token of a cookie counts as none: `in_cookie` gets its fault.
AccessCheck identify(Services& services,
                     Connection* connection,
                     const HttpHead& head,
                     CometRequest* request,
                     TokenFault* in_cookie) {
  auto [token, is_cookie] = presented_token(services, head, *request);
  const bool is_foreign = is_for_application(services, connection, HookAction::kConnect, token);
  if (!token.empty() && !is_foreign) {
    const TokenFault fault = services.access->identify(connection, token, &request->channels);
    if (fault == TokenFault::kNone) return {check_channel_count(services, request), {}};
    if (fault == TokenFault::kUserFull) return {{429, describe(fault)}, {}};
    // A page cannot keep its browser from sending an old cookie.
    if (!is_cookie) return {invalid_token(fault), {}};
    *in_cookie = fault;
    if (fault == TokenFault::kKeyPending) return {};
    token = {};
  }
  if (!may_ask(services, connection, HookAction::kConnect)) return {};
  return ask_to_connect(services, connection, head, *request, token);
}

/// Goes on with a request about which the application has decided.
HttpFault apply_decision(Services& services,
                         Connection* connection,
                         const HookDecision& decision,
                         CometRequest* request) {
  const HttpFault fault = fault_of(decision);
  if (fault.code != 0) return fault;
  if (decision.action == HookAction::kConnect) {
    const TokenFault full =
        services.access->identify_as(connection, decision.answer, &request->channels);
    if (full != TokenFault::kNone) return {429, describe(full)};
  } else {
    services.access->append_channels(connection, &request->channels);
  }
  return check_channel_count(services, request);
}

/// Whether the application is asked about channels of a request: tokens are verified here alone.
bool may_ask_for_channels(Services& services, Connection* connection, const CometRequest& request) {
  const std::vector<std::string>& tokens = request.channel_tokens;
  if (request.route == CometRoute::kWebSocketEcho || tokens.size() > 1) return false;
  if (tokens.empty()) return may_ask(services, connection, HookAction::kSubscribe);
  return is_for_application(services, connection, HookAction::kSubscribe, tokens.front());
}

/// Asks about the channels that no grant has.
AccessCheck ask_to_subscribe(Services& services,
                             const HttpHead& head,
                             const CometRequest& request,
                             std::vector<std::string> channels) {
  const std::vector<std::string>& tokens = request.channel_tokens;
  frame::HookRequest hook_request = hook_request_about(
      HookAction::kSubscribe, std::move(channels), tokens.empty() ? "" : tokens.front());
  const HttpFault fault = add_credentials(services, head, request.route, &hook_request);
  if (fault.code != 0) return {fault, {}};
  return {{}, std::move(hook_request)};
}

/// Adds the channels for which the client has a token of their own.
HttpFault admit(Services& services,
                Connection* connection,
                const std::vector<std::string>& tokens,
                std::vector<std::string>* admitted) {
  for (const std::string& token : tokens) {
    if (is_for_application(services, connection, HookAction::kSubscribe, token)) continue;
    const TokenFault fault = services.access->admit(connection, token, admitted);
    if (fault != TokenFault::kNone) return invalid_token(fault);
  }
  return {};
}

/// The channels that the client may not subscribe to by itself.
std::vector<std::string> channels_without_grant(Services& services,
                                                Connection* connection,
                                                const std::vector<std::string>& channels,
                                                const std::vector<std::string>& admitted) {
  std::vector<std::string> missing;
  for (const std::string& channel : channels) {
    if (std::find(admitted.begin(), admitted.end(), channel) != admitted.end()) continue;
    if (services.access->allows(connection, Action::kSubscribe, channel)) continue;
    missing.push_back(channel);
  }
  return missing;
}

HttpFault deny(Services& services, Connection* connection) {
  services.counters->add(Counter::kAccessDeniedTotal);
  return services.access->has_identity(connection) ? kDenied : kTokenRequired;
}

/// Whether the client may subscribe to the channels of its request.
AccessCheck check_channels(Services& services,
                           Connection* connection,
                           const HttpHead& head,
                           const CometRequest& request,
                           const HookDecision* decision) {
  const bool is_decided = decision != nullptr && decision->allows(HookAction::kSubscribe);
  std::vector<std::string> admitted;
  if (is_decided) admitted = decision->channels;
  const HttpFault fault = admit(services, connection, request.channel_tokens, &admitted);
  if (fault.code != 0) return {fault, {}};
  std::vector<std::string> missing =
      channels_without_grant(services, connection, request.channels, admitted);
  if (missing.empty()) return {};
  if (is_decided || !may_ask_for_channels(services, connection, request)) {
    return {deny(services, connection), {}};
  }
  return ask_to_subscribe(services, head, request, std::move(missing));
}

}  // namespace

HttpFault check_subscribe_access(Services& services,
                                 Connection* connection,
                                 const std::vector<std::string>& channels,
                                 const std::vector<std::string>& tokens,
                                 std::vector<std::string> admitted) {
  const HttpFault fault = admit(services, connection, tokens, &admitted);
  if (fault.code != 0) return fault;
  const bool has_all = channels_without_grant(services, connection, channels, admitted).empty();
  return has_all ? HttpFault{} : deny(services, connection);
}

bool is_unknown(Services& services, Connection* connection) {
  if (services.access->has_identity(connection)) return false;
  return services.access->takes_tokens() || services.hooks != nullptr;
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

namespace {

/// Gives the connection the identity of a signed URL.
HttpFault identify_by_url(Services& services,
                          Connection* connection,
                          const HttpHead& head,
                          const std::vector<std::string>& channels) {
  SignedUrl url;
  UrlFault fault = read_signed_url(head.target, &url);
  if (fault == UrlFault::kNone) {
    fault = services.access->identify_by_url(connection, url, channels);
  }
  const bool is_accepted = fault == UrlFault::kNone;
  services.counters->add(is_accepted ? Counter::kSignedUrlsAcceptedTotal
                                     : Counter::kSignedUrlsRejectedTotal);
  return is_accepted ? HttpFault{} : HttpFault{401, describe(fault), kTokenChallenge};
}

/// A mailbox's id is its own secret, unless the server wants it signed.
HttpFault check_mailbox_access(Services& services, Connection* connection, const HttpHead& head) {
  if (!services.access->has_signed_mailboxes()) return {};
  return identify_by_url(services, connection, head, {});
}

AccessCheck identify_request(Services& services,
                             Connection* connection,
                             const HttpHead& head,
                             CometRequest* request,
                             TokenFault* in_cookie) {
  if (!services.access->is_on()) return {};
  if (!request->has_signature || !services.access->takes_signed_urls()) {
    return identify(services, connection, head, request, in_cookie);
  }
  if (!request->token.empty() || !bearer_token(head).empty()) {
    return {{400, "signature: not together with a token"}, {}};
  }
  return {identify_by_url(services, connection, head, request->channels), {}};
}

}  // namespace

AccessCheck check_request_access(Services& services,
                                 Connection* connection,
                                 const HttpHead& head,
                                 CometRequest* request,
                                 const HookDecision* decision) {
  // Each request of a connection has an identity of its own.
  if (decision == nullptr) services.access->forget(connection);
  if (request->route == CometRoute::kMailbox) {
    return {check_mailbox_access(services, connection, head), {}};
  }
  TokenFault in_cookie = TokenFault::kNone;
  AccessCheck check;
  if (decision != nullptr) {
    check.fault = apply_decision(services, connection, *decision, request);
  } else {
    check = identify_request(services, connection, head, request, &in_cookie);
  }
  if (check.is_allowed()) check = check_channels(services, connection, head, *request, decision);
  // The cookie may hold the token that the request needs.
  if (check.fault.code == 401 && in_cookie == TokenFault::kKeyPending) {
    check.fault = invalid_token(in_cookie);
  }
  if (check.fault.code != 0) services.access->forget(connection);
  check.has_rejected_token = in_cookie != TokenFault::kNone;
  return check;
}

}  // namespace megacomet
