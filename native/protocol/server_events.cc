// Names and data of the events. See server_events.h.
#include "protocol/server_events.h"

#include "codec/sse_codec.h"
#include "pubsub/message_codec.h"

namespace megacomet {

namespace {

/// `members` of the data precede the cursor.
void append_position(const char* name,
                     const Cursor& cursor,
                     const char* members,
                     std::string* out) {
  const std::string id = cursor_text(cursor);
  const std::string data = std::string("{") + members + "\"cursor\":\"" + id + "\"}";
  SseEvent event;
  event.id = id;
  event.event = name;
  event.data = data;
  static_cast<void>(append_sse_event(event, out));
}

void append_return(const char* name, uint32_t retry_ms, std::string* out) {
  const std::string data = "{\"retryMs\":" + std::to_string(retry_ms) + "}";
  SseEvent event;
  event.event = name;
  event.data = data;
  event.retry_ms = retry_ms;
  static_cast<void>(append_sse_event(event, out));
}

}  // namespace

void append_subscribed_event(const Cursor& cursor, std::string* out) {
  append_position("megacomet.subscribed", cursor, "\"recovered\":true,", out);
}

void append_gap_event(const Cursor& cursor, std::string* out) {
  append_position("megacomet.gap", cursor, "\"recovered\":false,", out);
}

void append_lost_event(const Cursor& cursor, std::string* out) {
  append_position("megacomet.lost", cursor, "", out);
}

void append_full_event(uint32_t retry_ms, std::string* out) {
  append_return("megacomet.full", retry_ms, out);
}

void append_unavailable_event(uint32_t retry_ms, std::string* out) {
  append_return("megacomet.unavailable", retry_ms, out);
}

void append_limited_event(uint32_t retry_ms, std::string* out) {
  append_return("megacomet.limited", retry_ms, out);
}

void append_shutdown_event(uint32_t retry_ms, std::string* out) {
  append_return("megacomet.shutdown", retry_ms, out);
}

}  // namespace megacomet
