// Checks requests, and writes answers. See websocket_requests.h.
#include "protocol/websocket_requests.h"

#include <algorithm>
#include <utility>

#include "base/bounds.h"
#include "codec/cursor.h"
#include "codec/json_writer.h"
#include "connection/session.h"
#include "protocol/client_access.h"
#include "pubsub/message_codec.h"

namespace megacomet {

namespace {

constexpr const char* kPresence = "presence";
constexpr const char* kHistory = "history";

/// Bytes of an answer: it must leave room for messages in the send queue.
uint32_t response_bytes_max(const Services& services, const Connection& connection) {
  const size_t queued = connection.is_busy() ? connection.session->send_queue.size() : 0;
  const size_t queue_max = services.rules->send_queue_bytes_max;
  const size_t free = queue_max - std::min(queued, queue_max);
  return static_cast<uint32_t>(std::min<size_t>(bounds::kClientResponseBytesMax, free / 2));
}

void append_member(std::string_view name, std::string_view value, std::string* out) {
  out->append(",\"").append(name).append("\":");
  append_json_string(value, out);
}

}  // namespace

const char* send_request(Services& services, Connection* connection, const ClientCommand& command) {
  const bool is_presence = command.type == kPresence;
  const ClientRequestKind kind =
      is_presence ? ClientRequestKind::kPresence : ClientRequestKind::kHistory;
  const std::string channel = command.channel();
  if (channel.empty()) return "channel: must be one name or pattern";
  if (!is_label(command.id)) return "id: at most 128 bytes";
  Cursor since{};
  if (!command.since.empty() && !parse_cursor(command.since, &since)) return "since: not a cursor";
  if (!may_read(services, connection, kind, channel)) {
    return is_presence ? "presence: not allowed here, or not with this token"
                       : "history: not allowed here, or not with this token";
  }
  frame::ClientRequest request;
  request.kind = static_cast<uint8_t>(kind);
  request.channel = channel;
  request.has_since = command.since.empty() ? 0 : 1;
  request.epoch = since.epoch;
  request.number = since.number;
  request.limit = command.limit.value_or(bounds::kClientRequestLimit);
  request.bytes_max = response_bytes_max(services, *connection);
  switch (services.requests->request(*connection, command.id, std::move(request))) {
    case RequestResult::kSent:
      return nullptr;
    case RequestResult::kTooMany:
      return "too many requests without an answer: at most 4 are allowed";
    case RequestResult::kBusy:
      break;
  }
  return "server busy; retry later";
}

static_assert(bounds::kClientRequestsPerConnection == 4, "an error names it");

std::string response_text(const Response& response) {
  const bool is_error = !response.error.empty();
  const char* type = response.kind == ClientRequestKind::kPresence ? kPresence : kHistory;
  std::string text = "{\"type\":";
  append_json_string(is_error ? "error" : type, &text);
  if (!response.id.empty()) append_member("id", response.id, &text);
  if (is_error) append_member("error", response.error, &text);
  if (!response.members.empty()) text.append(",").append(response.members);
  text.push_back('}');
  return text;
}

std::string published_text(const Services& services, const frame::Published& published) {
  std::string text = "{\"type\":\"published\"";
  append_member("id", published.id, &text);
  append_member("channel", published.channel, &text);
  text.append(",\"cursor\":");
  append_cursor({services.rules->epoch, published.number}, &text);
  text.push_back('}');
  return text;
}

}  // namespace megacomet
