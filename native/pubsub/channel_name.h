// Names of channels, and lists of them as clients send them. Pure.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "base/bounds.h"

namespace megacomet {

/// Whether a text may name a channel: 1 to kChannelBytesMax bytes of UTF-8 without control
/// characters and without blanks at its ends. A "*" only as the end of a pattern "prefix/*".
[[nodiscard]] bool is_channel(std::string_view name);

/// Whether a valid name stands for many channels.
[[nodiscard]] inline bool is_pattern(std::string_view name) {
  return !name.empty() && name.back() == '*';
}

/// Why a connection cannot have this number of channels, each named once; null if it can.
template <typename Names>
[[nodiscard]] const char* too_many_channels(const Names& names, size_t channels_max) {
  if (names.size() > channels_max) return "channel: too many for one connection";
  const auto patterns = std::count_if(names.begin(), names.end(), is_pattern);
  static_assert(bounds::kConnectionPatternsMax == 32, "the sentence has the number");
  const bool has_too_many = static_cast<size_t>(patterns) > bounds::kConnectionPatternsMax;
  return has_too_many ? "channel: more than 32 patterns for one connection" : nullptr;
}

/// Keeps the first of equal names, in their order: a repeated channel counts once.
void remove_repeated(std::vector<std::string>* names);

}  // namespace megacomet
