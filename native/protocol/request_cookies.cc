// Reading Cookie fields. See request_cookies.h.
#include "protocol/request_cookies.h"

#include <algorithm>

namespace megacomet {

namespace {

std::string_view cookie_value(std::string_view cookies, std::string_view name) {
  while (!cookies.empty()) {
    const size_t end = std::min(cookies.find(';'), cookies.size());
    std::string_view pair = cookies.substr(0, end);
    cookies.remove_prefix(std::min(end + 1, cookies.size()));
    while (!pair.empty() && pair.front() == ' ') pair.remove_prefix(1);
    const size_t equals = pair.find('=');
    if (equals != std::string_view::npos && pair.substr(0, equals) == name) {
      return pair.substr(equals + 1);
    }
  }
  return {};
}

}  // namespace

std::string_view cookie_in(const HttpHead& head, std::string_view name) {
  for (size_t line = 0; line < head.lines_count; ++line) {
    if (head.lines[line].field() != Field::kCookie) continue;
    const std::string_view value = cookie_value(head.lines[line].value(), name);
    if (!value.empty()) return value;
  }
  return {};
}

}  // namespace megacomet
