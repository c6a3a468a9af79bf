// Server-Sent Events: writes events and heartbeats of a text/event-stream.
// The grammar is that of the HTML standard, 9.2.5 and 9.2.6. No I/O.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace megacomet {

/// One event. Texts are UTF-8; a reader replaces invalid bytes.
struct SseEvent {
  /// The client sends it as Last-Event-ID when it reconnects; empty for no id.
  std::string_view id;
  /// The event type of the client's listener; empty for "message".
  std::string_view event;
  /// Empty data still dispatches an event. Without data the client dispatches none, and only stores
  /// `id` and `retry_ms`.
  std::optional<std::string_view> data;
  /// The delay before the client reconnects.
  std::optional<uint32_t> retry_ms;
};

/// Appends one event with the blank line that ends it. Returns false, and appends nothing, if `id`
/// or `event` contains CR, LF or NUL, which would end the line or invalidate the id.
///
/// A reader receives every text unchanged (leading spaces, NUL, BOM, line ends at its start and
/// end), with one exception of the grammar: CR LF, CR and LF all become LF. Data that must
/// distinguish them has to be encoded, for example as JSON.
[[nodiscard]] bool append_sse_event(const SseEvent& event, std::string* out);

/// Appends the line that sets the delay before a reconnect, and no blank line: the next event ends
/// its block. Some clients call their handler for every block, also for one without data.
void append_sse_retry(uint32_t retry_ms, std::string* out);

/// Appends a comment, which a reader drops: it shows that the connection is alive. It has no blank
/// line, for the same reason.
void append_sse_heartbeat(std::string* out);

}  // namespace megacomet
