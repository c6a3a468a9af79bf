// Routes, parameters and origins. See comet_request.h.
#include "protocol/comet_request.h"

#include <algorithm>
#include <utility>

#include "base/bounds.h"
#include "codec/url_codec.h"
#include "codec/utf8.h"

namespace megacomet {

namespace {

constexpr size_t kCallbackBytesMax = 64;
constexpr HttpFault kFine{};
constexpr HttpFault kTwice{400, "duplicate parameter"};
/// The suffix of a client's id in the path of a legacy poll.
constexpr std::string_view kScript = ".js";

/// Letters that cannot end a call or open a tag: a JSONP response runs as a script.
bool is_callback(std::string_view text) {
  const auto is_allowed = [](char letter) {
    return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
           (letter >= '0' && letter <= '9') || letter == '_' || letter == '.' || letter == '$';
  };
  return !text.empty() && text.size() <= kCallbackBytesMax &&
         std::all_of(text.begin(), text.end(), is_allowed);
}

bool parse_seconds(std::string_view text, uint32_t* out) {
  if (text.empty() || text.size() > 6) return false;
  uint32_t value = 0;
  for (const char digit : text) {
    if (digit < '0' || digit > '9') return false;
    value = value * 10 + static_cast<uint32_t>(digit - '0');
  }
  *out = value;
  return true;
}

CometRoute route_of(std::string_view path, const frame::Comet& rules) {
  if (path == "/events") return CometRoute::kEvents;
  if (path == "/ws") return CometRoute::kWebSocket;
  if (path == "/poll") return CometRoute::kPoll;
  if (path == "/stream") return CometRoute::kStream;
  if (path.size() > kScript.size() + 1 && path.substr(path.size() - kScript.size()) == kScript) {
    return CometRoute::kMailbox;
  }
  const bool has_echo = (rules.flags & comet_flag::kWebSocketEcho) != 0;
  return path == "/ws-echo" && has_echo ? CometRoute::kWebSocketEcho : CometRoute::kNone;
}

HttpFault take_channel(std::string_view name, const frame::Comet& rules, CometRequest* out) {
  if (!is_channel(name)) return {400, "channel: not a valid channel name"};
  if (out->channels.size() >= rules.channels_per_connection_max) {
    return {413, "channel: too many for one connection"};
  }
  out->channels.emplace_back(name);
  return kFine;
}

HttpFault take_parameter(const Parameter& parameter, const frame::Comet& rules, CometRequest* out) {
  const auto& [name, value] = parameter;
  if (name == "channel") return take_channel(value, rules, out);
  if (name == "since") {
    if (out->since) return kTwice;
    Cursor cursor{};
    if (!parse_cursor(value, &cursor)) return {400, "since: not a cursor"};
    out->since = cursor;
  } else if (name == "timeout") {
    if (out->timeout_s != 0) return kTwice;
    if (!parse_seconds(value, &out->timeout_s)) return {400, "timeout: not a number of seconds"};
  } else if (name == "callback") {
    if (!out->callback.empty()) return kTwice;
    if (!is_callback(value)) return {400, "callback: only letters, digits, _, . and $ are allowed"};
    out->callback = value;
  }
  return kFine;
}

/// The id in a path. The query only defeats caches.
HttpFault read_client_id(std::string_view path, CometRequest* out) {
  const std::string_view encoded = path.substr(1, path.size() - 1 - kScript.size());
  std::string id(encoded.size(), '\0');
  size_t size = 0;
  const bool is_decoded = percent_decode(encoded, id.data(), id.size(), &size) == Decoding::kDone;
  id.resize(size);
  if (!is_decoded || !is_channel(id) || id.find('*') != std::string::npos) {
    return {400, "path: not a valid client id"};
  }
  out->channels.push_back(std::move(id));
  return kFine;
}

HttpFault read_query(const HttpHead& head, const frame::Comet& rules, CometRequest* out) {
  std::string buffer(head.target.query.size(), '\0');
  ParameterReader reader(head.target.query, buffer.data(), buffer.size());
  Parameter parameter;
  while (reader.next(&parameter)) {
    const HttpFault fault = take_parameter(parameter, rules, out);
    if (fault.code != 0) return fault;
  }
  if (reader.status() != Decoding::kDone) return {400, "query: invalid percent-encoding"};
  return kFine;
}

}  // namespace

bool is_channel(std::string_view name) {
  if (name.empty() || name.size() > bounds::kChannelBytesMax) return false;
  if (name.front() == ' ' || name.back() == ' ' || !is_valid_utf8(name)) return false;
  const auto is_control = [](char letter) {
    return static_cast<uint8_t>(letter) < 0x20 || letter == 0x7f;
  };
  if (std::any_of(name.begin(), name.end(), is_control)) return false;
  // The control characters from U+0080 to U+009F.
  for (size_t at = name.find('\xc2'); at != std::string_view::npos;
       at = name.find('\xc2', at + 1)) {
    if (static_cast<uint8_t>(name[at + 1]) < 0xa0) return false;
  }
  const size_t star = name.find('*');
  if (star == std::string_view::npos) return true;
  return star + 1 == name.size() && star > 0 && name[star - 1] == '/';
}

HttpFault read_comet_request(const HttpHead& head, const frame::Comet& rules, CometRequest* out) {
  out->route = route_of(head.target.path, rules);
  if (out->route == CometRoute::kNone) return {404, "unknown endpoint"};
  if (out->route == CometRoute::kMailbox) return read_client_id(head.target.path, out);
  const HttpFault fault = read_query(head, rules, out);
  if (fault.code != 0) return fault;
  if (head.has(Field::kLastEventId) && !head.value(Field::kLastEventId).empty()) {
    Cursor cursor{0, 0};
    // A browser sends it by itself, perhaps from another server. An invalid one reports a gap,
    // because an error would end the EventSource for good. The browser repeats the URL of its first
    // request, so a `since` there is older.
    if (!parse_cursor(head.value(Field::kLastEventId), &cursor)) cursor = {0, 0};
    out->since = cursor;
  }
  const bool needs_channel =
      out->route != CometRoute::kWebSocket && out->route != CometRoute::kWebSocketEcho;
  if (needs_channel && out->channels.empty()) return {400, "channel is required"};
  return kFine;
}

std::string_view allowed_origin(const HttpHead& head, const frame::Comet& rules) {
  if (!head.has(Field::kOrigin)) return {};
  const std::string_view origin = head.value(Field::kOrigin);
  for (const std::string& allowed : rules.origins) {
    if (allowed == "*") return "*";
    if (allowed == origin) return origin;
  }
  return {};
}

bool may_open_websocket(const HttpHead& head, std::string_view allowed) {
  if (!head.has(Field::kOrigin) || !allowed.empty()) return true;
  const std::string_view origin = head.value(Field::kOrigin);
  const size_t scheme = origin.find("://");
  if (scheme == std::string_view::npos) return false;
  Authority authority;
  const uint16_t port = origin.substr(0, scheme) == "https" ? 443 : 80;
  return parse_authority(origin.substr(scheme + 3), &authority) &&
         is_same(authority, head.host, port);
}

}  // namespace megacomet
