// Lines of events. See sse_codec.h.
#include "codec/sse_codec.h"

#include <charconv>

namespace megacomet {

namespace {

bool is_one_line(std::string_view text) {
  constexpr std::string_view kForbidden("\r\n\0", 3);
  return text.find_first_of(kForbidden) == std::string_view::npos;
}

/// A reader drops one space after the colon, so one is always written before the value.
void append_line(std::string_view field, std::string_view value, std::string* out) {
  out->append(field).append(": ").append(value).push_back('\n');
}

/// The end of the line that starts at `start`: a CR, an LF, or the end of the text.
size_t end_of_line(std::string_view text, size_t start) {
  size_t end = start;
  while (end < text.size() && text[end] != '\n' && text[end] != '\r') ++end;
  return end;
}

/// One `data` line for each line of the text. A text that ends with a line end has one more, empty
/// line: a reader appends an LF to each line and removes only the last LF.
void append_data(std::string_view text, std::string* out) {
  for (size_t start = 0;;) {
    const size_t end = end_of_line(text, start);
    append_line("data", text.substr(start, end - start), out);
    if (end == text.size()) return;
    const bool is_pair = text[end] == '\r' && end + 1 < text.size() && text[end + 1] == '\n';
    start = end + (is_pair ? 2 : 1);
  }
}

}  // namespace

bool append_sse_event(const SseEvent& event, std::string* out) {
  if (!is_one_line(event.id) || !is_one_line(event.event)) return false;
  if (!event.id.empty()) append_line("id", event.id, out);
  if (!event.event.empty()) append_line("event", event.event, out);
  if (event.retry_ms) append_sse_retry(*event.retry_ms, out);
  if (event.data) append_data(*event.data, out);
  out->push_back('\n');
  return true;
}

void append_sse_retry(uint32_t retry_ms, std::string* out) {
  char digits[10];
  const auto written = std::to_chars(digits, digits + sizeof digits, retry_ms);
  append_line("retry", {digits, static_cast<size_t>(written.ptr - digits)}, out);
}

void append_sse_heartbeat(std::string* out) {
  out->append(":\n");
}

}  // namespace megacomet
