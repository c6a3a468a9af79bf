// Reading the fields of proxies. See forwarded.h.
#include "codec/forwarded.h"

#include <algorithm>

#include "base/ascii.h"

namespace megacomet {

namespace {

/// Removes the text up to the next of these separators, which quoted strings may contain.
std::string_view take_until(std::string_view* text, char separator) {
  bool is_quoted = false;
  size_t end = 0;
  for (; end < text->size(); ++end) {
    const char letter = (*text)[end];
    if (is_quoted && letter == '\\') {
      ++end;
    } else if (letter == '"') {
      is_quoted = !is_quoted;
    } else if (letter == separator && !is_quoted) {
      break;
    }
  }
  const std::string_view part = text->substr(0, end);
  text->remove_prefix(std::min(end + 1, text->size()));
  return ascii::trim(part, ascii::kBlanks);
}

/// The value of `for` in one element of Forwarded; empty without one.
std::string_view for_value(std::string_view element) {
  while (!element.empty()) {
    std::string_view pair = take_until(&element, ';');
    const size_t equals = pair.find('=');
    if (equals == std::string_view::npos || !ascii::equals(pair.substr(0, equals), "for")) continue;
    std::string_view value = pair.substr(equals + 1);
    const bool is_quoted = value.size() >= 2 && value.front() == '"' && value.back() == '"';
    return is_quoted ? value.substr(1, value.size() - 2) : value;
  }
  return {};
}

bool is_port(std::string_view text) {
  return !text.empty() && text.size() <= 5 && ascii::kDigits.has_all(text);
}

}  // namespace

std::vector<std::string_view> forwarded_chain(const HttpHead& head) {
  const bool is_plain = head.has(Field::kXForwardedFor);
  const Field field = is_plain ? Field::kXForwardedFor : Field::kForwarded;
  std::vector<std::string_view> chain;
  for (size_t line = 0; line < head.lines_count; ++line) {
    if (head.lines[line].field() != field) continue;
    std::string_view list = head.lines[line].value();
    while (!list.empty()) {
      const std::string_view element = take_until(&list, ',');
      // RFC 9110 5.6.1: empty members of a list do not count.
      if (!element.empty()) chain.push_back(is_plain ? element : for_value(element));
    }
  }
  return chain;
}

bool parse_node(std::string_view node, IpAddress* out) {
  if (!node.empty() && node.front() == '[') {
    const size_t end = node.find(']');
    if (end == std::string_view::npos) return false;
    const std::string_view rest = node.substr(end + 1);
    if (!rest.empty() && (rest.front() != ':' || !is_port(rest.substr(1)))) return false;
    return parse_ipv6(node.substr(1, end - 1), out);
  }
  if (parse_ip(node, out)) return true;
  const size_t colon = node.find(':');
  return colon != std::string_view::npos && is_port(node.substr(colon + 1)) &&
         parse_ipv4(node.substr(0, colon), out);
}

}  // namespace megacomet
