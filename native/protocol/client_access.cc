// Finding tokens in requests, and asking the access service. See client_access.h.
#include "protocol/client_access.h"

#include <algorithm>

#include "base/ascii.h"
#include "protocol/channel_name.h"

namespace megacomet {

namespace {

constexpr const char* kDenied = "channel: not allowed with this token";
constexpr const char* kTokenRequired = "token is required";

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

/// What a client says on purpose comes before what a browser adds.
std::string_view token_of(const Services& services,
                          const HttpHead& head,
                          const CometRequest& request) {
  const std::string_view token = bearer_token(head);
  if (!token.empty()) return token;
  return request.token.empty() ? cookie_token(services, head) : std::string_view(request.token);
}

HttpFault unauthorized(const char* sentence, bool has_token) {
  return {401, sentence, has_token ? "Bearer error=\"invalid_token\"" : "Bearer"};
}

}  // namespace

const char* check_subscribe_access(Services& services,
                                   Connection* connection,
                                   const std::vector<std::string>& channels,
                                   const std::vector<std::string>& tokens) {
  AccessService* access = services.access;
  if (access == nullptr) return nullptr;
  std::vector<std::string> admitted;
  for (const std::string& token : tokens) {
    const TokenFault fault = access->admit(connection, token, &admitted);
    if (fault != TokenFault::kNone) return describe(fault);
  }
  for (const std::string& channel : channels) {
    if (std::find(admitted.begin(), admitted.end(), channel) != admitted.end()) continue;
    if (access->allows(connection, Action::kSubscribe, channel)) continue;
    services.counters->add(Counter::kAccessDeniedTotal);
    return kDenied;
  }
  return nullptr;
}

bool may_publish(Services& services, Connection* connection, std::string_view channel) {
  if (services.access == nullptr) return true;
  if (services.access->allows(connection, Action::kPublish, channel)) return true;
  services.counters->add(Counter::kAccessDeniedTotal);
  return false;
}

HttpFault check_request_access(Services& services,
                               Connection* connection,
                               const HttpHead& head,
                               CometRequest* request) {
  AccessService* access = services.access;
  // A mailbox's id is its own secret.
  if (access == nullptr || request->route == CometRoute::kMailbox) return {};
  // Each request of a connection has an identity of its own.
  access->forget(connection);
  const std::string_view token = token_of(services, head, *request);
  if (!token.empty()) {
    const TokenFault fault = access->identify(connection, token, &request->channels);
    if (fault != TokenFault::kNone) return unauthorized(describe(fault), true);
    remove_repeated(&request->channels);
    if (!std::all_of(request->channels.begin(), request->channels.end(), is_channel)) {
      return unauthorized("token: channels has a name that is not valid", true);
    }
    const char* error =
        too_many_channels(request->channels, services.rules->channels_per_connection_max);
    if (error != nullptr) return {413, error};
  }
  const char* error =
      check_subscribe_access(services, connection, request->channels, request->channel_tokens);
  if (error == nullptr) return {};
  if (token.empty() && request->channel_tokens.empty()) return unauthorized(kTokenRequired, false);
  return {403, error, "Bearer error=\"insufficient_scope\""};
}

}  // namespace megacomet
