// Names of channels, and patterns: the rules by the vectors that lib/ is tested with too.
#include "pubsub/channel_name.h"

#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>

#include "support/unit.h"

using namespace megacomet;

namespace {

/// Below the root of the project, where the program runs.
constexpr const char* kPath = "test/vectors/channel-names.txt";

/// Appends a code point as UTF-8. Half of a surrogate pair becomes three invalid bytes.
void append_utf8(uint32_t point, std::string* out) {
  const auto byte = [out](uint32_t value) { out->push_back(static_cast<char>(value)); };
  if (point < 0x80) return byte(point);
  if (point < 0x800) {
    byte(0xc0 | point >> 6);
  } else if (point < 0x10000) {
    byte(0xe0 | point >> 12);
    byte(0x80 | (point >> 6 & 0x3f));
  } else {
    byte(0xf0 | point >> 18);
    byte(0x80 | (point >> 12 & 0x3f));
    byte(0x80 | (point >> 6 & 0x3f));
  }
  byte(0x80 | (point & 0x3f));
}

uint32_t code_unit(std::string_view json, size_t at) {
  return static_cast<uint32_t>(std::stoul(std::string(json.substr(at + 2, 4)), nullptr, 16));
}

bool is_unit(std::string_view json, size_t at) {
  return json.substr(at, 2) == "\\u";
}

/// Unescapes the inside of a JSON string. Unlike the product's reader it accepts half of a pair.
std::string unescape(std::string_view json) {
  std::string out;
  for (size_t at = 0; at < json.size();) {
    if (is_unit(json, at)) {
      uint32_t point = code_unit(json, at);
      at += 6;
      const bool is_high = point >= 0xd800 && point < 0xdc00;
      const uint32_t low = is_high && is_unit(json, at) ? code_unit(json, at) : 0;
      if (low >= 0xdc00 && low < 0xe000) {
        point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
        at += 6;
      }
      append_utf8(point, &out);
    } else if (json[at] == '\\') {
      const char letter = json[at + 1];
      out.push_back(letter == 'n' ? '\n' : letter == 'r' ? '\r' : letter == 't' ? '\t' : letter);
      at += 2;
    } else {
      out.push_back(json[at++]);
    }
  }
  return out;
}

/// The text of a row: its first character several times, then the others.
std::string repeated(size_t count, const std::string& text) {
  size_t first = text.empty() ? 0 : 1;
  while (first < text.size() && (static_cast<uint8_t>(text[first]) & 0xc0) == 0x80) ++first;
  std::string out;
  for (size_t index = 0; index < count; ++index) out.append(text, 0, first);
  return out.append(text, first);
}

std::string verdict_of(const std::string& text) {
  if (!is_channel(text)) return "neither";
  return text.back() == '*' ? "pattern" : "channel";
}

/// Checks one line. Returns false for a line without a vector.
bool check_line(const std::string& line) {
  std::istringstream row(line);
  std::string verdict;
  size_t count = 0;
  if (line.empty() || line[0] == '#' || !(row >> verdict >> count)) return false;
  const size_t start = line.find('"');
  if (!EXPECT(start != std::string::npos && line.back() == '"')) return true;
  const std::string_view json = std::string_view(line).substr(start + 1);
  const std::string text = repeated(count, unescape(json.substr(0, json.size() - 1)));
  if (verdict_of(text) != verdict) unit::fail(kPath, 0, verdict_of(text) + ", wanted " + line);
  return true;
}

}  // namespace

TEST("each vector of channel names is a channel, a pattern or neither") {
  std::ifstream file(kPath);
  int vectors = 0;
  for (std::string line; std::getline(file, line);) vectors += check_line(line) ? 1 : 0;
  EXPECT(vectors > 80);
}
