// Matching names against grants. See grants.h.
#include "auth/grants.h"

#include <algorithm>
#include <utility>

namespace megacomet {

namespace {

bool has_rest(std::string_view text) {
  return text == "*" || (text.size() > 1 && text.substr(text.size() - 2) == "/*");
}

/// Whether a segment with stars stands for another. Remembers the last star only, so the time is at
/// most the product of both lengths.
bool is_match(std::string_view pattern, std::string_view text) {
  size_t at = 0;
  size_t star = std::string_view::npos;
  size_t resumed = 0;
  for (size_t done = 0; done < text.size();) {
    if (at < pattern.size() && pattern[at] == '*') {
      star = at++;
      resumed = done;
    } else if (at < pattern.size() && pattern[at] == text[done]) {
      ++at;
      ++done;
    } else if (star != std::string_view::npos) {
      at = star + 1;
      done = ++resumed;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', at) == std::string_view::npos;
}

}  // namespace

NamePattern::NamePattern(std::string text)
    : text_(std::move(text)), has_rest_(megacomet::has_rest(text_)) {
  if (has_rest_) text_.pop_back();
}

bool NamePattern::covers(std::string_view name) const {
  if (megacomet::has_rest(name)) {
    if (!has_rest_) return false;
    name.remove_suffix(1);
  }
  std::string_view pattern = text_;
  // Segment by segment. That of a rest is the last one, and empty.
  for (;;) {
    const size_t end = pattern.find('/');
    const size_t name_end = name.find('/');
    if (end == std::string_view::npos) {
      return has_rest_ || (name_end == std::string_view::npos && is_match(pattern, name));
    }
    if (name_end == std::string_view::npos) return false;
    if (!is_match(pattern.substr(0, end), name.substr(0, name_end))) return false;
    pattern.remove_prefix(end + 1);
    name.remove_prefix(name_end + 1);
  }
}

Grants::Grants(const GrantTexts& texts, std::vector<std::string> channels, bool is_by_decision)
    : channels_(std::move(channels)), is_by_decision_(is_by_decision) {
  for (size_t action = 0; action < kActionCount; ++action) {
    for (const std::string& text : texts[action]) patterns_[action].emplace_back(text);
  }
}

bool Grants::allows(Action action, std::string_view name) const {
  const std::vector<NamePattern>& patterns = patterns_[static_cast<size_t>(action)];
  return std::any_of(patterns.begin(), patterns.end(), [&](const NamePattern& pattern) {
    return pattern.covers(name);
  });
}

}  // namespace megacomet
