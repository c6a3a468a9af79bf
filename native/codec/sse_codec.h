// Server-Sent Events: writes events and heartbeats of a text/event-stream.
// The grammar is that of the HTML standard, 9.2.5 and 9.2.6. No I/O.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace megacomet {

/// One event. Texts are UTF-8: the grammar knows nothing else, and a reader replaces what is not.
struct SseEvent {
  /// What the client sends as Last-Event-ID when it returns; empty for no such line.
  std::string_view id;
  /// The name under which the client listens; empty for "message".
  std::string_view event;
  /// Empty data still makes an event. Without data the client fires none, and only takes over `id`
  /// and `retry_ms`.
  std::optional<std::string_view> data;
  /// How long the client waits before it connects again.
  std::optional<uint32_t> retry_ms;
};

/// Appends one event, up to and with the blank line that ends it. False, and nothing is appended,
/// if `id` or `event` holds CR, LF or NUL: those would end the line, or void the id.
///
/// Every text goes through whole (leading spaces, NUL, BOM, line ends at its start and end), with
/// one exception that lies in the grammar: a reader gets each of CR LF, CR and LF as LF. Data in
/// which they must stay apart has to be encoded, as JSON for instance.
[[nodiscard]] bool append_sse_event(const SseEvent& event, std::string* out);

/// Appends a comment, which a reader drops: it keeps the connection from looking dead.
void append_sse_heartbeat(std::string* out);

}  // namespace megacomet
