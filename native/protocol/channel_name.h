// Names of channels, and lists of them as clients send them. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace megacomet {

/// Whether a text may name a channel: 1 to kChannelBytesMax bytes of UTF-8 without control
/// characters and without blanks at its ends. A "*" only as the end of a pattern "prefix/*".
[[nodiscard]] bool is_channel(std::string_view name);

/// Whether a valid name stands for many channels.
[[nodiscard]] inline bool is_pattern(std::string_view name) {
  return !name.empty() && name.back() == '*';
}

/// What is wrong with the number of a connection's channels, each named once; null if it is
/// allowed.
[[nodiscard]] const char* too_many_channels(const std::vector<std::string_view>& names,
                                            size_t channels_max);

/// Keeps the first of equal names, in their order: a repeated channel counts once.
void remove_repeated(std::vector<std::string>* names);

}  // namespace megacomet
