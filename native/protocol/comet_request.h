// What an HTTP request asks of the comet server. Pure.
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

enum class CometRoute : uint8_t {
  kNone,
  kEvents,
  kWebSocket,
  kWebSocketEcho,
  kPoll,
  kStream,
  /// A client of the ancestor's; its id is the one channel.
  kMailbox
};

struct CometRequest {
  CometRoute route = CometRoute::kNone;
  std::vector<std::string> channels;
  /// Where the client stands; none asks for what comes from now on.
  std::optional<Cursor> since;
  uint32_t timeout_s = 0;
  /// The function that a JSONP answer calls; empty for JSON.
  std::string callback;
};

/// A status to answer with and the sentence for it; code 0 is none.
struct HttpFault {
  uint16_t code = 0;
  const char* sentence = "";
};

/// Whether a text may name a channel: 1 to kChannelBytesMax bytes of UTF-8 without control
/// characters and without blanks at its ends. A "*" only as the end of a pattern "prefix/*".
[[nodiscard]] bool is_channel(std::string_view name);

/// Reads route and parameters. `out` is whole only where no fault is returned.
[[nodiscard]] HttpFault read_comet_request(const HttpHead& head,
                                           const frame::Comet& rules,
                                           CometRequest* out);

/// What the answer's Access-Control-Allow-Origin says; empty where the origin is not allowed, or
/// none was sent.
[[nodiscard]] std::string_view allowed_origin(const HttpHead& head, const frame::Comet& rules);

/// Whether a page of the request's origin may open a WebSocket: none was sent (no browser), it is
/// the server's own, or it is allowed.
[[nodiscard]] bool may_open_websocket(const HttpHead& head, const frame::Comet& rules);

}  // namespace megacomet
