// The bytes of a message on each transport. Pure; made once per message and transport.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "codec/cursor.h"
#include "codec/websocket_codec.h"
#include "ipc/frames.h"
#include "pubsub/message.h"

namespace megacomet {

/// The cursor of a subscriber that has received this message and all before it.
[[nodiscard]] inline Cursor cursor_of(const Message& message) {
  return {message.epoch, message.number};
}

/// The message of a Publish frame, whose strings are moved.
[[nodiscard]] Ref<Message> message_of(frame::Publish order, uint64_t epoch);

/// The messages of a replay page. False if they are not complete Publish frames.
[[nodiscard]] bool messages_of(const Blob& frames, uint64_t epoch, std::vector<Ref<Message>>* out);

/// The text of a cursor.
[[nodiscard]] std::string cursor_text(const Cursor& cursor);

/// Appends the cursor's text as a JSON string.
void append_cursor(const Cursor& cursor, std::string* out);

/// Appends the members of a message: `"channel":…,"cursor":…,"data":…`, with `id` and `event` if
/// given, and `"encoding":"base64"` if the data is binary.
void append_message_members(const Message& message, std::string* out);

/// One event of an SSE stream. Binary data goes as base64.
[[nodiscard]] std::string encode_sse(const Message& message);

/// The content of a text frame: an object with `"type":"message"`, or `"type":"lost"` for the
/// notice of a loss.
[[nodiscard]] std::string encode_websocket_text(const Message& message);

/// One line of a stream of JSON.
[[nodiscard]] std::string encode_stream(const Message& message);

/// A complete frame of the server.
[[nodiscard]] std::string websocket_frame(WebSocketOpcode opcode,
                                          std::string_view content,
                                          bool is_compressed = false);

}  // namespace megacomet
