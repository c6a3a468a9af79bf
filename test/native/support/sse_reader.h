// A reader of text/event-stream by the HTML standard, 9.2.6. For tests only, and written
// independently of the writer.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

namespace sse {

struct Event {
  std::string type;
  std::string data;
  std::string last_id;
};

class Reader {
 public:
  std::vector<Event> events;
  std::string last_id;
  std::string retry;

  /// Reads a whole stream. Drops an event without its blank line, as the standard says.
  void read(std::string_view stream) {
    constexpr std::string_view kMark = "\xef\xbb\xbf";
    if (stream.substr(0, kMark.size()) == kMark) stream.remove_prefix(kMark.size());
    std::string line;
    for (size_t at = 0; at < stream.size(); ++at) {
      if (stream[at] != '\r' && stream[at] != '\n') {
        line.push_back(stream[at]);
        continue;
      }
      if (stream[at] == '\r' && at + 1 < stream.size() && stream[at + 1] == '\n') ++at;
      take_line(line);
      line.clear();
    }
  }

 private:
  void take_line(const std::string& line) {
    if (line.empty()) return dispatch();
    const size_t colon = line.find(':');
    if (colon == 0) return;
    if (colon == std::string::npos) return take_field(line, "");
    const size_t skipped = line.substr(colon + 1, 1) == " " ? 2 : 1;
    take_field(line.substr(0, colon), line.substr(colon + skipped));
  }

  void take_field(const std::string& field, const std::string& value) {
    if (field == "event") type_ = value;
    if (field == "data") data_ += value + "\n";
    if (field == "id" && value.find('\0') == std::string::npos) last_id_buffer_ = value;
    const auto is_digit = [](char character) { return character >= '0' && character <= '9'; };
    if (field == "retry" && std::all_of(value.begin(), value.end(), is_digit)) retry = value;
  }

  void dispatch() {
    last_id = last_id_buffer_;
    if (!data_.empty()) {
      data_.pop_back();
      events.push_back({type_.empty() ? "message" : type_, data_, last_id});
    }
    data_.clear();
    type_.clear();
  }

  std::string type_;
  std::string data_;
  std::string last_id_buffer_;
};

/// The text as a reader receives it: each line end becomes an LF.
inline std::string with_line_feeds(std::string_view text) {
  std::string result;
  for (size_t at = 0; at < text.size(); ++at) {
    const bool is_pair = text.substr(at, 2) == "\r\n";
    result.push_back(text[at] == '\r' ? '\n' : text[at]);
    if (is_pair) ++at;
  }
  return result;
}

}  // namespace sse
