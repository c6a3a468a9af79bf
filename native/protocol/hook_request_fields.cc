// Hook requests about requests and commands. See hook_request_fields.h.
#include "protocol/hook_request_fields.h"

#include <algorithm>
#include <utility>

#include "base/ascii.h"
#include "base/bounds.h"
#include "codec/utf8.h"
#include "protocol/request_cookies.h"
#include "pubsub/channel_name.h"

namespace megacomet {

namespace {

/// Three texts, divided by dots (RFC 7515 3.1): a token, whether valid or not.
bool is_signed_token(std::string_view token) {
  return std::count(token.begin(), token.end(), '.') == 2;
}

const char* transport_name(CometRoute route) {
  switch (route) {
    case CometRoute::kEvents:
      return "sse";
    case CometRoute::kStream:
      return "stream";
    case CometRoute::kPoll:
      return "poll";
    default:
      return "websocket";
  }
}

bool is_passed_on(std::string_view value) {
  return value.size() <= bounds::kHookValueBytesMax && is_valid_utf8(value);
}

constexpr HttpFault kBadCredential{400,
                                   "a header field or cookie is repeated, too long or not UTF-8"};

/// The value of a field that occurs once. Two lines could be two clients: one for a proxy, another
/// one for the application.
HttpFault add_header(const HttpHead& head,
                     const std::string& name,
                     frame::HookRequest* hook_request) {
  bool has_value = false;
  for (size_t line = 0; line < head.lines_count; ++line) {
    if (!ascii::equals(head.lines[line].name(), name)) continue;
    const std::string_view value = head.lines[line].value();
    if (has_value || !is_passed_on(value)) return kBadCredential;
    has_value = true;
    hook_request->header_names.push_back(name);
    hook_request->header_values.emplace_back(value);
  }
  return {};
}

HttpFault add_cookie(const HttpHead& head,
                     const std::string& name,
                     frame::HookRequest* hook_request) {
  const std::string_view value = cookie_in(head, name);
  if (value.empty()) return {};
  if (!is_passed_on(value)) return kBadCredential;
  hook_request->cookie_names.push_back(name);
  hook_request->cookie_values.emplace_back(value);
  return {};
}

/// A command about which the application may be asked, and the grant that makes that needless.
struct CommandRule {
  std::string_view type;
  HookAction action;
  Action grant;
};

constexpr CommandRule kCommandRules[] = {
    {"connect", HookAction::kConnect, Action::kSubscribe},
    {"subscribe", HookAction::kSubscribe, Action::kSubscribe},
    {"publish", HookAction::kPublish, Action::kPublish},
    {"refresh", HookAction::kRefresh, Action::kSubscribe},
};

const CommandRule* rule_of(std::string_view type) {
  for (const CommandRule& rule : kCommandRules) {
    if (rule.type == type) return &rule;
  }
  return nullptr;
}

}  // namespace

bool may_ask(Services& services, Connection* connection, HookAction action) {
  if (services.hooks == nullptr || !services.hooks->asks_about(action)) return false;
  return !services.access->has_identity(connection) || services.access->is_by_decision(connection);
}

bool is_for_application(Services& services,
                        Connection* connection,
                        HookAction action,
                        std::string_view token) {
  if (token.empty() || !may_ask(services, connection, action)) return false;
  if (token.size() > bounds::kHookValueBytesMax || !is_valid_utf8(token)) return false;
  return !services.access->takes_tokens() || !is_signed_token(token);
}

frame::HookRequest hook_request_about(HookAction action,
                                      std::vector<std::string> channels,
                                      std::string_view token) {
  frame::HookRequest hook_request;
  hook_request.action = static_cast<uint8_t>(action);
  hook_request.transport = transport_name(CometRoute::kWebSocket);
  hook_request.channels = std::move(channels);
  hook_request.token = token;
  return hook_request;
}

HttpFault add_credentials(const Services& services,
                          const HttpHead& head,
                          CometRoute route,
                          frame::HookRequest* hook_request) {
  hook_request->transport = transport_name(route);
  const frame::Hooks& rules = services.hooks->rules();
  for (const std::string& name : rules.headers) {
    const HttpFault fault = add_header(head, name, hook_request);
    if (fault.code != 0) return fault;
  }
  // Browsers send the cookies of a page to the requests of all other pages.
  if (!is_of_known_page(head, *services.rules)) return {};
  for (const std::string& name : rules.cookies) {
    const HttpFault fault = add_cookie(head, name, hook_request);
    if (fault.code != 0) return fault;
  }
  return {};
}

std::optional<frame::HookRequest> hook_request_of_command(Services& services,
                                                          Connection* connection,
                                                          const ClientCommand& command) {
  const CommandRule* rule = rule_of(command.type);
  if (rule == nullptr || !may_ask(services, connection, rule->action)) return {};
  const std::vector<std::string>& tokens = command.tokens;
  // The server verifies tokens alone, and reports more than one text as an error.
  if (tokens.size() > 1) return {};
  const std::string_view token = tokens.empty() ? std::string_view() : tokens.front();
  const bool is_for_us =
      !token.empty() && !is_for_application(services, connection, rule->action, token);
  if (is_for_us) return {};
  const bool is_known = services.access->has_identity(connection);
  switch (rule->action) {
    case HookAction::kConnect:
      if (is_known) return {};
      return hook_request_about(rule->action, {}, token);
    case HookAction::kRefresh:
      if (!is_known) return {};
      return hook_request_about(rule->action, {}, token);
    case HookAction::kPublish:
      // The command reports the error.
      if (command.channels.size() != 1) return {};
      if (services.access->client_publish(command.channels[0]) == ClientPublish::kNobody) return {};
      break;
    case HookAction::kSubscribe:
      break;
  }
  std::vector<std::string> channels;
  for (const std::string& name : command.channels) {
    if (!is_channel(name)) return {};
    if (!services.access->allows(connection, rule->grant, name)) channels.push_back(name);
  }
  if (channels.empty()) return {};
  return hook_request_about(rule->action, std::move(channels), token);
}

HttpFault fault_of(const HookDecision& decision) {
  const frame::HookAnswer& answer = decision.answer;
  switch (decision.verdict()) {
    case HookVerdict::kAllow:
      return {};
    case HookVerdict::kDeny:
      if (answer.status == 401) return {401, answer.reason.c_str(), kChallenge};
      return {403, answer.reason.c_str(), kScopeChallenge};
    case HookVerdict::kUnavailable:
      break;
  }
  return {503, kUndecided};
}

}  // namespace megacomet
