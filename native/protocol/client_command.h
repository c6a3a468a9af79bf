// The command in a WebSocket client's message. No I/O.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bounds.h"

namespace megacomet {

/// The members of the message's JSON object that its type uses; absent ones, and null, are empty.
struct ClientCommand {
  std::string type;
  /// Each once.
  std::vector<std::string> channels;
  /// Of connect and refresh one token; of subscribe one for each channel that needs it.
  std::vector<std::string> tokens;
  std::string since;
  std::optional<std::string> data;
  std::string id;
  std::string event;
  /// Of presence and history: members or messages of the answer.
  std::optional<uint32_t> limit;
  /// The application has allowed it: of subscribe these channels, of publish the only one. Not a
  /// member of the message.
  std::vector<std::string> admitted;

  /// The only channel or pattern, if it is a valid one; else empty.
  [[nodiscard]] std::string channel() const;
};

/// Null, or the error. Also after an error `channels` and `id` are set, for the response.
[[nodiscard]] const char* read_client_command(std::string_view text, ClientCommand* out);

/// Whether a text is short enough for an id or event. The manager checks its characters.
[[nodiscard]] inline bool is_label(std::string_view text) {
  return text.size() <= bounds::kLabelBytesMax;
}

}  // namespace megacomet
