// Messages as SSE events, WebSocket frames and lines. See message_codec.h.
#include "pubsub/message_codec.h"

#include "codec/digest.h"
#include "codec/json_writer.h"
#include "codec/sse_codec.h"

namespace megacomet {

namespace {

std::string base64(std::string_view bytes) {
  std::string text(base64_size(bytes.size()), '\0');
  base64_encode(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), text.data());
  return text;
}

/// Bytes of an event besides its values, if the data is one line: `id: `, `event: `, `data: ` and
/// line ends.
constexpr size_t kSseLinesBytes = 24;

}  // namespace

Ref<Message> message_of(frame::Publish order, uint64_t epoch) {
  Ref<Message> message = make_ref<Message>();
  message->epoch = epoch;
  message->number = order.number;
  message->flags = order.flags;
  message->spread_ms = order.spread_ms;
  message->channel = std::move(order.channel);
  message->id = std::move(order.id);
  message->event = std::move(order.event);
  message->data = std::move(order.data.bytes);
  return message;
}

bool messages_of(const Blob& frames, uint64_t epoch, std::vector<Ref<Message>>* out) {
  FrameReader reader;
  reader.feed(reinterpret_cast<const uint8_t*>(frames.bytes.data()), frames.bytes.size());
  FrameView view{};
  while (reader.next(&view)) {
    frame::Publish item;
    const bool is_publish = static_cast<FrameType>(view.type) == FrameType::kPublish;
    if (!is_publish || !decode(view, &item)) return false;
    out->push_back(message_of(std::move(item), epoch));
  }
  return true;
}

std::string cursor_text(const Cursor& cursor) {
  char text[kCursorTextMax];
  return {text, format_cursor(cursor, text)};
}

void append_cursor(const Cursor& cursor, std::string* out) {
  char text[kCursorTextMax];
  out->push_back('"');
  out->append(text, format_cursor(cursor, text));
  out->push_back('"');
}

void append_message_members(const Message& message, std::string* out) {
  out->append("\"channel\":");
  append_json_string(message.channel, out);
  out->append(",\"cursor\":");
  append_cursor(cursor_of(message), out);
  if (!message.id.empty()) {
    out->append(",\"id\":");
    append_json_string(message.id, out);
  }
  if (!message.event.empty()) {
    out->append(",\"event\":");
    append_json_string(message.event, out);
  }
  if (message.is_binary()) out->append(",\"encoding\":\"base64\"");
  out->append(",\"data\":");
  append_json_string(message.is_binary() ? base64(message.data) : message.data, out);
}

std::string encode_sse(const Message& message) {
  char cursor[kCursorTextMax];
  const std::string coded = message.is_binary() ? base64(message.data) : std::string();
  SseEvent event;
  event.id = {cursor, format_cursor(cursor_of(message), cursor)};
  event.event = message.event;
  event.data = message.is_binary() ? std::string_view(coded) : std::string_view(message.data);
  std::string out;
  out.reserve(kSseLinesBytes + event.id.size() + event.event.size() + event.data->size());
  // The manager rejects an event name with a line end. If one arrives, the name is left out.
  if (append_sse_event(event, &out)) return out;
  event.event = std::string_view();
  return append_sse_event(event, &out) ? out : std::string();
}

std::string websocket_frame(WebSocketOpcode opcode, std::string_view content, bool is_compressed) {
  WebSocketHeader header;
  header.opcode = opcode;
  header.is_compressed = is_compressed;
  header.payload_bytes = content.size();
  uint8_t bytes[kWebSocketHeaderBytesMax];
  const size_t size = encode_websocket_header(header, bytes);
  std::string out(reinterpret_cast<const char*>(bytes), size);
  return out.append(content);
}

std::string encode_websocket_text(const Message& message) {
  std::string text;
  if (message.is_loss_notice) {
    text.append("{\"type\":\"lost\",\"cursor\":");
    append_cursor(cursor_of(message), &text);
  } else {
    text.append("{\"type\":\"message\",");
    append_message_members(message, &text);
  }
  text.push_back('}');
  return text;
}

std::string encode_stream(const Message& message) {
  return encode_websocket_text(message).append("\n");
}

}  // namespace megacomet
