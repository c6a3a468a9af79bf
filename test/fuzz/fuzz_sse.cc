// Fuzz target for Server-Sent Events and cursors: a reader by the standard must receive the written
// event unchanged, and a cursor that parses must have the text that format_cursor() writes.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "../native/support/sse_reader.h"
#include "base/check.h"
#include "codec/cursor.h"
#include "codec/sse_codec.h"

using namespace megacomet;

namespace {

bool is_one_line(std::string_view text) {
  for (const char character : text) {
    if (character == '\r' || character == '\n' || character == '\0') return false;
  }
  return true;
}

/// Removes a prefix from the input; its first byte is the length.
std::string_view take(std::string_view* input) {
  if (input->empty()) return {};
  const size_t size = static_cast<uint8_t>(input->front());
  input->remove_prefix(1);
  const std::string_view front = input->substr(0, size);
  input->remove_prefix(front.size());
  return front;
}

void check_cursor(std::string_view text) {
  const std::vector<char> tight(text.begin(), text.end());
  Cursor cursor{};
  if (!parse_cursor({tight.data(), tight.size()}, &cursor)) return;
  char again[kCursorTextMax];
  MC_CHECK(std::string_view(again, format_cursor(cursor, again)) == text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  check_cursor(input);
  std::string stream;
  std::vector<sse::Event> wanted;
  std::string last_id;
  while (!input.empty()) {
    SseEvent event;
    event.id = take(&input);
    event.event = take(&input);
    const std::string_view data_text = take(&input);
    if (event.event.size() % 8 != 7) event.data = data_text;
    if (event.id.size() % 8 == 7) event.retry_ms = static_cast<uint32_t>(event.id.size());
    const size_t before = stream.size();
    const bool is_written = append_sse_event(event, &stream);
    MC_CHECK(is_written == (is_one_line(event.id) && is_one_line(event.event)));
    MC_CHECK(is_written || stream.size() == before);
    if (event.id.size() % 3 == 0) append_sse_heartbeat(&stream);
    if (!is_written) continue;
    if (!event.id.empty()) last_id = event.id;
    if (!event.data) continue;
    const std::string type(event.event.empty() ? "message" : event.event);
    wanted.push_back({type, sse::with_line_feeds(*event.data), last_id});
  }
  sse::Reader reader;
  reader.read(stream);
  MC_CHECK(reader.events.size() == wanted.size() && reader.last_id == last_id);
  for (size_t at = 0; at < wanted.size(); ++at) {
    const sse::Event& found = reader.events[at];
    MC_CHECK(found.type == wanted[at].type && found.data == wanted[at].data);
    MC_CHECK(found.last_id == wanted[at].last_id);
  }
  return 0;
}
