// Routes, parameters and origins. See comet_request.h.
#include "protocol/comet_request.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

#include "base/ascii.h"
#include "base/bounds.h"
#include "codec/url_codec.h"
#include "pubsub/channel_name.h"

namespace megacomet {

namespace {

constexpr size_t kCallbackBytesMax = 64;
constexpr HttpFault kFine{};
constexpr HttpFault kConflict{400, "query: a parameter has two values"};
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
  if (path == kEventsPath) return CometRoute::kEvents;
  if (path == "/ws") return CometRoute::kWebSocket;
  if (path == "/poll") return CometRoute::kPoll;
  if (path == "/stream") return CometRoute::kStream;
  const bool has_mailboxes = (rules.flags & comet_flag::kMailboxes) != 0;
  if (has_mailboxes && path.size() > kScript.size() + 1 &&
      path.substr(path.size() - kScript.size()) == kScript) {
    return CometRoute::kMailbox;
  }
  const bool has_echo = (rules.flags & comet_flag::kWebSocketEcho) != 0;
  return path == "/ws-echo" && has_echo ? CometRoute::kWebSocketEcho : CometRoute::kNone;
}

HttpFault take_cursor(std::string_view text, std::string_view* known) {
  if (known->data() != nullptr && *known != text) return kConflict;
  *known = text;
  return kFine;
}

/// The parameters of a query, as far as they are read.
struct Query {
  std::string_view start;
  std::string_view resume;
};

HttpFault take_timeout(std::string_view value, CometRequest* out) {
  uint32_t seconds = 0;
  if (!parse_seconds(value, &seconds)) return {400, "timeout: not a number of seconds"};
  if (out->timeout_s && *out->timeout_s != seconds) return kConflict;
  out->timeout_s = seconds;
  return kFine;
}

HttpFault take_callback(std::string_view value, CometRequest* out) {
  if (!is_callback(value)) return {400, "callback: only letters, digits, _, . and $ are allowed"};
  if (!out->callback.empty() && out->callback != value) return kConflict;
  out->callback = value;
  return kFine;
}

HttpFault take_token(std::string_view value, CometRequest* out) {
  if (!out->token.empty() && out->token != value) return kConflict;
  out->token = value;
  return kFine;
}

HttpFault take_signature(std::string_view, CometRequest* out) {
  out->has_signature = true;
  return kFine;
}

HttpFault take_channel_token(std::string_view value, CometRequest* out) {
  if (out->channel_tokens.size() == bounds::kChannelTokensMax) {
    return {413, "channel_token: too many"};
  }
  out->channel_tokens.emplace_back(value);
  return kFine;
}

/// A parameter that is not about cursors or channels; null for one that is not read.
using TakeParameter = HttpFault (*)(std::string_view value, CometRequest* out);

TakeParameter parameter_named(std::string_view name) {
  if (name == "timeout") return take_timeout;
  if (name == "callback") return take_callback;
  if (name == "token") return take_token;
  if (name == kSignatureParameter) return take_signature;
  return name == "channel_token" ? take_channel_token : nullptr;
}

HttpFault take_parameter(ParameterReader* reader,
                         const Parameter& parameter,
                         Query* query,
                         CometRequest* out) {
  const CursorName cursor = cursor_name(parameter.name);
  const bool is_channel_name = parameter.name == "channel";
  const TakeParameter take = parameter_named(parameter.name);
  if (cursor == CursorName::kNone && !is_channel_name && take == nullptr) return kFine;
  std::string_view value;
  if (reader->decode(parameter.encoded, &value) != Decoding::kDone) {
    return {400, "query: invalid percent-encoding of a parameter"};
  }
  if (cursor == CursorName::kStart) return take_cursor(value, &query->start);
  if (cursor == CursorName::kResume) return take_cursor(value, &query->resume);
  if (take != nullptr) return take(value, out);
  if (!is_channel(value)) return {400, "channel: not a valid channel name"};
  out->channels.emplace_back(value);
  return kFine;
}

/// A client library resumes by itself, perhaps from another server. An invalid cursor of it reports
/// a gap, because an error would end the client for good.
Cursor resumed_cursor(std::string_view text) {
  Cursor cursor{0, 0};
  return parse_cursor(text, &cursor) ? cursor : Cursor{0, 0};
}

/// A library repeats the URL of its first request, so the cursor that the page put there is older
/// than that of the library.
HttpFault choose_cursor(const HttpHead& head, const Query& query, CometRequest* out) {
  if (query.start.data() != nullptr) {
    Cursor cursor{};
    if (!parse_cursor(query.start, &cursor)) return {400, "since: not a cursor"};
    out->since = cursor;
  }
  if (!query.resume.empty()) out->since = resumed_cursor(query.resume);
  const std::string_view last_id = head.value(Field::kLastEventId);
  if (!last_id.empty()) out->since = resumed_cursor(last_id);
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
  Query query;
  while (reader.next(&parameter)) {
    const HttpFault fault = take_parameter(&reader, parameter, &query, out);
    if (fault.code != 0) return fault;
  }
  remove_repeated(&out->channels);
  const char* error = too_many_channels(out->channels, rules.channels_per_connection_max);
  if (error != nullptr) return {413, error};
  return choose_cursor(head, query, out);
}

}  // namespace

CursorName cursor_name(std::string_view name) {
  constexpr size_t kBytesMax = sizeof "last-event-id" - 1;
  char letters[kBytesMax];
  size_t size = 0;
  if (name.size() > kBytesMax) return CursorName::kNone;
  for (const char letter : name) {
    if (letter != '-' && letter != '_') letters[size++] = ascii::to_lower(letter);
  }
  const std::string_view plain(letters, size);
  if (plain == "since" || plain == "cursor") return CursorName::kStart;
  return plain == "lasteventid" ? CursorName::kResume : CursorName::kNone;
}

HttpFault read_comet_request(const HttpHead& head, const frame::Comet& rules, CometRequest* out) {
  out->route = route_of(head.target.path, rules);
  if (out->route == CometRoute::kNone) return {404, "unknown endpoint"};
  const bool is_mailbox = out->route == CometRoute::kMailbox;
  const HttpFault fault =
      is_mailbox ? read_client_id(head.target.path, out) : read_query(head, rules, out);
  if (fault.code != 0) return fault;
  const bool is_script = is_mailbox || !out->callback.empty();
  if (is_script && !may_run_as_script(head, rules)) {
    return {403, "Origin: scripts of this page are not allowed here"};
  }
  return kFine;
}

std::string_view loggable_path(std::string_view path, const frame::Comet& rules) {
  if ((rules.flags & comet_flag::kMailboxes) == 0) return path;
  std::string plain;
  std::transform(path.begin(), path.end(), std::back_inserter(plain), ascii::to_lower);
  // Also a path that is not a mailbox because of a mistake, such as `/ID.JS`.
  const bool is_script =
      plain.find(kScript) != std::string::npos || plain.find("%2ejs") != std::string::npos;
  return is_script ? "/ID.js" : path;
}

std::string_view allowed_origin(std::string_view origin, const frame::Comet& rules) {
  if (origin.empty()) return {};
  std::string_view allowed;
  for (const std::string& one : rules.origins) {
    // A named origin may send credentials; "*" may not.
    if (one == origin) return origin;
    if (one == "*") allowed = "*";
  }
  return allowed;
}

namespace {

/// Whether a URL, or an origin, is of the server that the request names.
bool is_own(std::string_view url, const HttpHead& head) {
  const size_t scheme = url.find("://");
  if (scheme == std::string_view::npos) return false;
  const std::string_view rest = url.substr(scheme + 3);
  Authority authority;
  const uint16_t port = url.substr(0, scheme) == "https" ? 443 : 80;
  return parse_authority(rest.substr(0, rest.find_first_of("/?#")), &authority) &&
         is_same(authority, head.host, port);
}

/// The origin of a URL.
std::string_view origin_of(std::string_view url) {
  const size_t scheme = url.find("://");
  if (scheme == std::string_view::npos) return {};
  return url.substr(0, url.find_first_of("/?#", scheme + 3));
}

}  // namespace

bool is_foreign_origin(const HttpHead& head, std::string_view allowed) {
  return head.has(Field::kOrigin) && allowed.empty() && !is_own(head.value(Field::kOrigin), head);
}

std::string_view page_origin(const HttpHead& head) {
  return head.has(Field::kOrigin) ? head.value(Field::kOrigin)
                                  : origin_of(head.value(Field::kReferer));
}

bool is_of_known_page(const HttpHead& head, const frame::Comet& rules) {
  // A page's own EventSource sends no Origin, but all browsers send Sec-Fetch-Site over TLS.
  if (!head.has(Field::kOrigin)) return head.value(Field::kSecFetchSite) == "same-origin";
  const std::string_view origin = head.value(Field::kOrigin);
  // "null" is not an identity: a sandboxed frame of any page has it.
  if (origin == "null") return false;
  return is_own(origin, head) ||
         std::find(rules.origins.begin(), rules.origins.end(), origin) != rules.origins.end();
}

bool needs_channel(CometRoute route) {
  return route == CometRoute::kEvents || route == CometRoute::kPoll || route == CometRoute::kStream;
}

bool may_run_as_script(const HttpHead& head, const frame::Comet& rules) {
  const auto is_allowed = [&](std::string_view url) {
    return is_own(url, head) || !allowed_origin(origin_of(url), rules).empty();
  };
  if (std::find(rules.origins.begin(), rules.origins.end(), "*") != rules.origins.end())
    return true;
  if (head.has(Field::kOrigin)) return is_allowed(head.value(Field::kOrigin));
  const std::string_view site = head.value(Field::kSecFetchSite);
  if (site == "same-origin" || site == "none") return true;
  if (head.has(Field::kReferer)) return is_allowed(head.value(Field::kReferer));
  // Over plain HTTP a browser omits Sec-Fetch-Site, and a page may suppress Referer. But no page
  // can change the User-Agent of a script's request.
  return site.empty() && head.value(Field::kUserAgent).substr(0, 8) != "Mozilla/";
}

}  // namespace megacomet
