// Route, parameters and origin of an HTTP request. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "codec/cursor.h"
#include "codec/http_codec.h"
#include "ipc/frames.h"

namespace megacomet {

/// The path of an EventSource.
inline constexpr std::string_view kEventsPath = "/events";
/// The parameter whose presence makes a URL a signed one.
inline constexpr std::string_view kSignatureParameter = "signature";

enum class CometRoute : uint8_t {
  kNone,
  kEvents,
  kWebSocket,
  kWebSocketEcho,
  kPoll,
  kStream,
  /// A poll of the legacy protocol; the client's id is the one channel.
  kMailbox
};

struct CometRequest {
  CometRoute route = CometRoute::kNone;
  std::vector<std::string> channels;
  /// The client's last cursor; without one it receives messages from now on.
  std::optional<Cursor> since;
  /// The token of the connection, and those for one channel each.
  std::string token;
  std::vector<std::string> channel_tokens;
  /// Whether the URL is a signed one; see client_access.cc. Not read for a mailbox.
  bool has_signature = false;
  /// Of a poll; 0 answers at once.
  std::optional<uint32_t> timeout_s;
  /// The function that a JSONP response calls; empty for JSON.
  std::string callback;
};

/// An HTTP status and its error text; code 0 for no fault.
struct HttpFault {
  uint16_t code = 0;
  const char* sentence = "";
  /// Of a response with 401 or 403: WWW-Authenticate (RFC 6750 3); empty for none.
  const char* challenge = "";
};

/// Challenges for `HttpFault.challenge`. RFC 6750 3: a challenge has at least one parameter.
inline constexpr char kChallenge[] = "Bearer realm=\"megacomet-ts\"";
inline constexpr char kScopeChallenge[] =
    "Bearer realm=\"megacomet-ts\", error=\"insufficient_scope\"";
inline constexpr char kTokenChallenge[] = "Bearer realm=\"megacomet-ts\", error=\"invalid_token\"";

/// The meaning of a parameter of a query, or of a member of a command, by its name, in any case and
/// with or without `-` and `_`. kStart: "since" or "cursor", which a page sets. kResume:
/// "lastEventId", which client libraries add to a URL when they reconnect.
enum class CursorName : uint8_t { kNone, kStart, kResume };
[[nodiscard]] CursorName cursor_name(std::string_view name);

/// Reads route and parameters. `out` is complete only if no fault is returned; which channels there
/// must be is known when the token is.
[[nodiscard]] HttpFault read_comet_request(const HttpHead& head,
                                           const frame::Comet& rules,
                                           CometRequest* out);

/// The path of a request for a log line. Anybody with the id in the path of a mailbox can read it,
/// so `/ID.js` stands for each path that may have one.
[[nodiscard]] std::string_view loggable_path(std::string_view path, const frame::Comet& rules);

/// The response's Access-Control-Allow-Origin for a request with this Origin; empty if there is
/// none, or one that is not allowed.
[[nodiscard]] std::string_view allowed_origin(std::string_view origin, const frame::Comet& rules);

/// Whether the origin of the page that sent the request may not use the server: it is neither the
/// server's own nor an allowed one. Without an origin the client is not a browser. `allowed` is the
/// allowed_origin() of the request.
[[nodiscard]] bool is_foreign_origin(const HttpHead& head, std::string_view allowed);

/// The origin of the page that sent the request, as far as the request tells it.
[[nodiscard]] std::string_view page_origin(const HttpHead& head);

/// Whether a browser sent the request for a page of the server's own origin, or of an allowed one
/// by its name. Only then a cookie counts: other pages make browsers send it too.
[[nodiscard]] bool is_of_known_page(const HttpHead& head, const frame::Comet& rules);

/// Whether a route needs at least one channel.
[[nodiscard]] bool needs_channel(CometRoute route);

/// Whether the page that sent the request may run the response as a script, which CORS does not
/// restrict: a page of the server's own origin, of an allowed one, or a client that is not a
/// browser.
[[nodiscard]] bool may_run_as_script(const HttpHead& head, const frame::Comet& rules);

}  // namespace megacomet
