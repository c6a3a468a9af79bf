// JSON lines for one subscriber. See stream.h.
#include "protocol/stream.h"

#include "protocol/endless_response.h"
#include "pubsub/message_codec.h"

namespace megacomet {

namespace {

struct JsonLines {
  static constexpr Encoding kEncoding = Encoding::kStream;

  static std::string encode(const Message& message) { return encode_stream(message); }

  static void append_gap(const Replay& replay, std::string* out) {
    append_subscribed(replay.start(), false, out);
  }

  /// A gap was reported before the messages, in the same form.
  static void append_end(const Replay& replay, std::string* out) {
    if (!replay.is_lost) append_subscribed(replay.head, true, out);
  }

  /// An empty line, which readers of JSON lines ignore.
  static std::string heartbeat() { return "\n"; }

 private:
  static void append_subscribed(const Cursor& cursor, bool is_recovered, std::string* out) {
    out->append("{\"type\":\"subscribed\",\"cursor\":");
    append_cursor(cursor, out);
    out->append(is_recovered ? ",\"recovered\":true}\n" : ",\"recovered\":false}\n");
  }
};

}  // namespace

constexpr Protocol kStreamProtocol = EndlessResponse<JsonLines>::protocol();

}  // namespace megacomet
