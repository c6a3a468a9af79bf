// What a WebSocket client's message asks for. No I/O.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/bounds.h"

namespace megacomet {

/// Out of its JSON object. Members that are not there are empty.
struct Wish {
  std::string type;
  std::vector<std::string> channels;
  std::string since;
  std::string data;
  std::string id;
  std::string event;

  /// The only channel or pattern, if that is one; else empty.
  [[nodiscard]] std::string channel() const;
};

/// Null, or what is wrong with it.
[[nodiscard]] const char* read_client_command(std::string_view text, Wish* out);

/// Whether a text is short enough for an id or event. The manager judges what is in it.
[[nodiscard]] inline bool is_label(std::string_view text) {
  return text.size() <= bounds::kLabelBytesMax;
}

}  // namespace megacomet
