// Escapes and appends strings. See json_writer.h.
#include "codec/json_writer.h"

namespace megacomet {

namespace {

constexpr std::string_view kLineSeparator = "\xe2\x80\xa8";
constexpr std::string_view kParagraphSeparator = "\xe2\x80\xa9";

/// Whether this byte may start a character that needs an escape: a fast test for the common bytes.
bool may_need_escape(char character) {
  return static_cast<unsigned char>(character) < 0x20 || character == '"' || character == '\\' ||
         character == kLineSeparator.front();
}

/// Sets `escape` for the first character of `text`, and returns the number of bytes it replaces; 0
/// if the character needs no escape. `room` holds "\u0000", for an escape without a short form.
size_t find_escape(std::string_view text, char* room, std::string_view* escape) {
  const char first = text.front();
  switch (first) {
    case '"':
      *escape = "\\\"";
      return 1;
    case '\\':
      *escape = "\\\\";
      return 1;
    case '\n':
      *escape = "\\n";
      return 1;
    case '\r':
      *escape = "\\r";
      return 1;
    case '\t':
      *escape = "\\t";
      return 1;
    default:
      break;
  }
  if (static_cast<unsigned char>(first) < 0x20) {
    constexpr char kDigits[] = "0123456789abcdef";
    room[4] = kDigits[first >> 4];
    room[5] = kDigits[first & 0xf];
    *escape = room;
    return 1;
  }
  const std::string_view three = text.substr(0, kLineSeparator.size());
  if (three != kLineSeparator && three != kParagraphSeparator) return 0;
  *escape = three == kLineSeparator ? "\\u2028" : "\\u2029";
  return three.size();
}

}  // namespace

void append_json_string(std::string_view text, std::string* out) {
  char room[] = "\\u0000";
  out->push_back('"');
  size_t start = 0;
  for (size_t at = 0; at < text.size();) {
    std::string_view escape;
    size_t replaced = 0;
    if (may_need_escape(text[at])) replaced = find_escape(text.substr(at), room, &escape);
    if (replaced == 0) {
      ++at;
      continue;
    }
    out->append(text.substr(start, at - start)).append(escape);
    at += replaced;
    start = at;
  }
  out->append(text.substr(start)).push_back('"');
}

}  // namespace megacomet
