// Subscribe, unsubscribe, publish, connect and ping. See websocket_commands.h.
#include "protocol/websocket_commands.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "base/bounds.h"
#include "codec/json_writer.h"
#include "connection/client_limits.h"
#include "connection/client_rates.h"
#include "connection/session.h"
#include "connection/sessions.h"
#include "protocol/client_access.h"
#include "protocol/client_command.h"
#include "protocol/hook_request_fields.h"
#include "protocol/websocket_output.h"
#include "protocol/websocket_requests.h"
#include "pubsub/channel_name.h"
#include "pubsub/message_codec.h"

namespace megacomet {

namespace {

/// Bytes of the response to a subscribe command without its channels.
constexpr size_t kSubscribedBytes = 128;

/// Strings of JSON; `text_at(index)` has each.
template <typename TextAt>
void append_strings(size_t count, TextAt text_at, std::string* out) {
  out->push_back('[');
  for (size_t at = 0; at < count; ++at) {
    if (at > 0) out->push_back(',');
    append_json_string(text_at(at), out);
  }
  out->push_back(']');
}

/// Sends an error that repeats the channel and the id of the command, if it has valid ones.
bool reject(Services& services,
            Connection* connection,
            const ClientCommand& command,
            std::string_view error) {
  const std::string id = is_label(command.id) ? command.id : "";
  return send_command_error(services, connection, error, command.channel(), id);
}

std::string too_many_commands(const Services& services) {
  return "too many commands: at most " + std::to_string(services.commands->rate()) +
         " a second are allowed; retry later";
}

/// Counts a command. After kFlood the connection is closed: the client does not slow down.
Pace count_command(Services& services, Connection* connection) {
  const Pace pace = services.commands->pace(name_of(*connection));
  if (pace == Pace::kAllowed) return pace;
  services.counters->add(Counter::kLimitedCommandsTotal);
  if (pace == Pace::kFlood) {
    close_websocket(services,
                    connection,
                    close_code::kPolicy,
                    too_many_commands(services),
                    CloseCause::kRejected);
  }
  return pace;
}

/// Rejects a publish command. It counts as a command, because no message of it has a rate.
bool reject_publish(Services& services,
                    Connection* connection,
                    const ClientCommand& command,
                    std::string_view error) {
  if (count_command(services, connection) == Pace::kFlood) return false;
  return reject(services, connection, command, error);
}

/// Why a connection cannot have these channels as well, by their number; null if it can.
const char* too_many_with(Services& services,
                          const Connection& connection,
                          const std::vector<std::string>& names) {
  const std::vector<Subscription>& subscriptions = connection.session->subscriptions;
  const size_t channels_max = services.rules->channels_per_connection_max;
  const size_t count_max = std::min<size_t>(channels_max, bounds::kConnectionPatternsMax);
  if (subscriptions.size() + names.size() <= count_max) return nullptr;
  std::set<std::string_view> all(names.begin(), names.end());
  for (const Subscription& one : subscriptions) {
    all.insert(services.subscriptions->channel_name(one.channel));
  }
  return too_many_channels(all, channels_max);
}

bool subscribe(Services& services, Connection* connection, const ClientCommand& command) {
  if (command.channels.empty()) return reject(services, connection, command, "channel is required");
  services.sessions->acquire(connection);
  const char* error = too_many_with(services, *connection, command.channels);
  if (error != nullptr) {
    services.counters->add(Counter::kLimitedSubscriptionsTotal);
    return reject(services, connection, command, error);
  }
  for (const std::string& name : command.channels) {
    if (!is_channel(name)) {
      return reject(services, connection, command, "channel: not a valid channel name");
    }
  }
  Cursor since{};
  if (!command.since.empty() && !parse_cursor(command.since, &since)) {
    return reject(services, connection, command, "since: not a cursor");
  }
  // Last, because it keeps the tokens of the subscription.
  const HttpFault fault = check_subscribe_access(
      services, connection, command.channels, command.tokens, command.admitted);
  if (fault.code != 0) return reject(services, connection, command, fault.sentence);
  const uint32_t generation = connection->generation;
  services.subscriptions->subscribe(
      connection, command.channels, command.since.empty() ? nullptr : &since);
  return connection->generation == generation;
}

/// Leaves those of the channels that the connection has, and returns them.
std::vector<std::string_view> leave(Services& services,
                                    Connection* connection,
                                    const std::vector<std::string>& channels) {
  std::vector<std::string_view> left;
  for (const std::string& name : channels) {
    if (services.subscriptions->unsubscribe(connection, name)) left.push_back(name);
  }
  return left;
}

/// The id that a client gave a command, if it is a valid one; the answer repeats it.
void append_id(const ClientCommand& command, std::string* out) {
  if (command.id.empty() || !is_label(command.id)) return;
  out->append(",\"id\":");
  append_json_string(command.id, out);
}

bool send_unsubscribed(Services& services,
                       Connection* connection,
                       const ClientCommand& command,
                       const std::vector<std::string_view>& left) {
  std::string text = "{\"type\":\"unsubscribed\",\"channels\":";
  append_strings(
      left.size(), [&left](size_t at) { return left[at]; }, &text);
  append_id(command, &text);
  text.push_back('}');
  return send_websocket_text(services, connection, text);
}

bool unsubscribe(Services& services, Connection* connection, const ClientCommand& command) {
  return send_unsubscribed(
      services, connection, command, leave(services, connection, command.channels));
}

/// Presence or history: the answer follows later.
bool request(Services& services, Connection* connection, const ClientCommand& command) {
  const char* error = send_request(services, connection, command);
  return error == nullptr || reject(services, connection, command, error);
}

bool pong(Services& services, Connection* connection, const ClientCommand& command) {
  std::string text = "{\"type\":\"pong\"";
  append_id(command, &text);
  text.push_back('}');
  return send_websocket_text(services, connection, text);
}

/// Sends a message that may be sent.
bool send_message(Services& services, Connection* connection, const ClientCommand& command) {
  frame::Message message;
  message.channel = command.channel();
  message.id = command.id;
  message.event = command.event;
  message.data.bytes = *command.data;
  if (services.publishing->publish(*connection, std::move(message))) return true;
  return reject_publish(services, connection, command, "server busy; retry later");
}

/// `{"type":"connected","user":"…","expiresInSeconds":…}`.
std::string identity_text(Services& services,
                          Connection* connection,
                          const ClientCommand& command,
                          std::string_view type) {
  std::string text = "{\"type\":";
  append_json_string(type, &text);
  text.append(",\"user\":");
  append_json_string(services.access->user(connection), &text);
  const uint32_t seconds = services.access->ends_in_s(connection);
  if (seconds > 0) text.append(",\"expiresInSeconds\":").append(std::to_string(seconds));
  append_id(command, &text);
  text.push_back('}');
  return text;
}

/// Sends an error, and closes.
bool reject_connect(Services& services,
                    Connection* connection,
                    const ClientCommand& command,
                    uint16_t code,
                    const char* error) {
  if (!reject(services, connection, command, error)) return false;
  close_websocket(services, connection, code, error, CloseCause::kRejected);
  return false;
}

/// Reports the new identity, and subscribes to its channels.
bool welcome(Services& services,
             Connection* connection,
             const ClientCommand& command,
             std::vector<std::string> channels) {
  if (!send_websocket_text(
          services, connection, identity_text(services, connection, command, "connected"))) {
    return false;
  }
  if (channels.empty()) return true;
  ClientCommand claimed;
  claimed.channels = std::move(channels);
  claimed.since = command.since;
  remove_repeated(&claimed.channels);
  return subscribe(services, connection, claimed);
}

/// The first message of a client without a token in its request.
bool connect(Services& services, Connection* connection, const ClientCommand& command) {
  std::vector<std::string> channels;
  const TokenFault fault = services.access->identify(connection, command.tokens.front(), &channels);
  if (fault == TokenFault::kNone) {
    return welcome(services, connection, command, std::move(channels));
  }
  const bool is_for_now = fault == TokenFault::kKeyPending || fault == TokenFault::kUserFull;
  const uint16_t code = is_for_now ? close_code::kTryAgainLater : close_code::kUnauthorized;
  return reject_connect(services, connection, command, code, describe(fault));
}

/// Reports the new identity, and leaves the channels that it does not allow.
bool end_refresh(Services& services,
                 Connection* connection,
                 const ClientCommand& command,
                 TokenFault fault,
                 const ClientCommand& lost) {
  if (fault != TokenFault::kNone) return reject(services, connection, command, describe(fault));
  if (!lost.channels.empty() && !unsubscribe(services, connection, lost)) return false;
  return send_websocket_text(
      services, connection, identity_text(services, connection, command, "refreshed"));
}

bool refresh(Services& services, Connection* connection, const ClientCommand& command) {
  ClientCommand lost;
  const TokenFault fault =
      services.access->refresh(connection, command.tokens.front(), &lost.channels);
  return end_refresh(services, connection, command, fault, lost);
}

/// A new identity, or a longer one.
bool identify(Services& services, Connection* connection, const ClientCommand& command) {
  const auto fail = [&](std::string_view error) {
    return reject(services, connection, command, error);
  };
  const bool takes_tokens = services.access->takes_tokens();
  if (takes_tokens && command.tokens.size() != 1) return fail("token: exactly one is required");
  const bool is_refresh = command.type == "refresh";
  if (takes_tokens || services.hooks != nullptr) {
    const bool is_known = services.access->has_identity(connection);
    if (is_refresh && !is_known) return fail("refresh: send connect first");
    if (!is_refresh && is_known) return fail("connect: send refresh instead");
  }
  if (!takes_tokens) return fail("token: this server reads no tokens");
  return is_refresh ? refresh(services, connection, command)
                    : connect(services, connection, command);
}

bool dispatch(Services& services, Connection* connection, const ClientCommand& command) {
  if (command.type == "subscribe") return subscribe(services, connection, command);
  if (command.type == "unsubscribe") return unsubscribe(services, connection, command);
  if (command.type == "publish") return send_message(services, connection, command);
  if (command.type == "connect" || command.type == "refresh") {
    return identify(services, connection, command);
  }
  if (command.type == "presence" || command.type == "history") {
    return request(services, connection, command);
  }
  if (command.type == "ping") return pong(services, connection, command);
  return reject(services, connection, command, "unknown type");
}

/// Rejects a command. A client that may not connect cannot stay.
bool reject_decided(Services& services,
                    Connection* connection,
                    const ClientCommand& command,
                    const HttpFault& fault) {
  if (fault.code != 503) services.counters->add(Counter::kAccessDeniedTotal);
  if (command.type != "connect") return reject(services, connection, command, fault.sentence);
  const uint16_t code = fault.code == 503 ? close_code::kTryAgainLater : close_code::kUnauthorized;
  return reject_connect(services, connection, command, code, fault.sentence);
}

/// Handles a command about which the application has decided.
bool handle_decided(Services& services,
                    Connection* connection,
                    ClientCommand* command,
                    const HookDecision& decision) {
  const HttpFault fault = fault_of(decision);
  if (fault.code != 0) return reject_decided(services, connection, *command, fault);
  if (decision.action == HookAction::kConnect) {
    std::vector<std::string> channels;
    const TokenFault full = services.access->identify_as(connection, decision.answer, &channels);
    if (full != TokenFault::kNone) {
      return reject_connect(
          services, connection, *command, close_code::kTryAgainLater, describe(full));
    }
    return welcome(services, connection, *command, std::move(channels));
  }
  if (decision.action == HookAction::kRefresh) {
    ClientCommand lost;
    const TokenFault unfit =
        services.access->refresh_as(connection, decision.answer, &lost.channels);
    return end_refresh(services, connection, *command, unfit, lost);
  }
  command->admitted = decision.channels;
  return dispatch(services, connection, *command);
}

/// Asks the application, and keeps the command until it has decided.
bool ask(Services& services,
         Connection* connection,
         const ClientCommand& command,
         frame::HookRequest hook_request,
         std::string_view text) {
  if (!services.hooks->ask(connection, std::move(hook_request))) {
    return reject_decided(services, connection, command, {503, kUndecided});
  }
  Session* session = services.sessions->acquire(connection);
  session->awaits_decision = true;
  session->waiting.emplace_back();
  return services.connections->keep_input(connection, text, &session->waiting.back());
}

/// Why a publish command is rejected before anybody is asked about it; empty if it is not.
std::string fault_of_publish(Services& services,
                             Connection* connection,
                             const ClientCommand& command,
                             bool is_for_application) {
  const std::string channel = command.channel();
  if (services.access->client_publish(channel) == ClientPublish::kNobody) {
    return "clients may not publish here";
  }
  if (channel.empty() || channel.back() == '*') return "channel: must be one exact name";
  if (!is_for_application && !may_publish(services, connection, channel)) {
    return "publish: not allowed with this token";
  }
  if (!command.data) return "data is required";
  if (!is_label(command.id) || !is_label(command.event)) {
    return "id and event: at most 128 bytes each";
  }
  switch (services.publishing->count(*connection)) {
    case PublishPace::kAllowed:
      break;
    case PublishPace::kTooFast:
      return "too many messages: at most " + std::to_string(services.rules->client_publish_rate) +
             " a second are allowed; retry later";
    case PublishPace::kUserTooFast:
      return "too many messages of this user: at most " +
             std::to_string(services.limits->rules().user_publish_rate) +
             " a second are allowed; retry later";
  }
  return "";
}

/// Counts a command besides messages that are sent, and handles it unless it is too fast.
template <typename Handle>
bool handle_in_time(Services& services,
                    Connection* connection,
                    const ClientCommand& command,
                    Handle handle) {
  switch (count_command(services, connection)) {
    case Pace::kAllowed:
      return handle();
    case Pace::kTooFast:
      return reject(services, connection, command, too_many_commands(services));
    case Pace::kFlood:
      break;
  }
  return false;
}

/// The rate of messages holds before the application is asked, so that no client causes more
/// hook requests than it may send messages.
bool publish(Services& services,
             Connection* connection,
             const ClientCommand& command,
             std::string_view text) {
  std::optional<frame::HookRequest> hook_request;
  if (services.hooks != nullptr)
    hook_request = hook_request_of_command(services, connection, command);
  const std::string error =
      fault_of_publish(services, connection, command, hook_request.has_value());
  if (!error.empty()) return reject_publish(services, connection, command, error);
  if (!hook_request) return send_message(services, connection, command);
  return handle_in_time(services, connection, command, [&] {
    return ask(services, connection, command, std::move(*hook_request), text);
  });
}

}  // namespace

bool send_command_error(Services& services,
                        Connection* connection,
                        std::string_view error,
                        std::string_view channel,
                        std::string_view id) {
  std::string text = "{\"type\":\"error\",\"error\":";
  append_json_string(error, &text);
  if (!channel.empty()) {
    text.append(",\"channel\":");
    append_json_string(channel, &text);
  }
  if (!id.empty()) {
    text.append(",\"id\":");
    append_json_string(id, &text);
  }
  text.push_back('}');
  return send_websocket_text(services, connection, text);
}

bool handle_command(Services& services,
                    Connection* connection,
                    std::string_view text,
                    const HookDecision* decision) {
  ClientCommand command;
  const char* error = read_client_command(text, &command);
  if (decision != nullptr) return handle_decided(services, connection, &command, *decision);
  // Messages have a rate of their own.
  if (error == nullptr && command.type == "publish") {
    return publish(services, connection, command, text);
  }
  return handle_in_time(services, connection, command, [&] {
    if (error != nullptr) return reject(services, connection, command, error);
    if (services.hooks != nullptr) {
      std::optional<frame::HookRequest> hook_request =
          hook_request_of_command(services, connection, command);
      if (hook_request) return ask(services, connection, command, std::move(*hook_request), text);
    }
    return dispatch(services, connection, command);
  });
}

bool change_channels(Services& services, Connection* connection, const ChannelChange& change) {
  if (!change.is_on) {
    const std::vector<std::string_view> left = leave(services, connection, change.channels);
    return left.empty() || send_unsubscribed(services, connection, {}, left);
  }
  services.sessions->acquire(connection);
  if (too_many_with(services, *connection, change.channels) != nullptr) {
    services.counters->add(Counter::kChannelChangesRejectedTotal);
    return true;
  }
  const uint32_t generation = connection->generation;
  services.subscriptions->subscribe(connection, change.channels, nullptr);
  return connection->generation == generation;
}

std::string subscribed_text(Services& services, const Replay& replay) {
  const auto name_at = [&](size_t at) {
    return services.subscriptions->channel_name(replay.channels[at]);
  };
  std::string text;
  text.reserve(kSubscribedBytes);
  text.append("{\"type\":\"subscribed\",\"cursor\":");
  append_cursor(replay.is_lost ? replay.start() : replay.head, &text);
  text.append(replay.is_lost ? ",\"recovered\":false" : ",\"recovered\":true");
  text.append(",\"channels\":");
  append_strings(replay.channels.size(), name_at, &text);
  text.push_back('}');
  return text;
}

}  // namespace megacomet
