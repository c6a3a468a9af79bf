// Fuzz target for WebSocket frames: a stream must give the same events in any parts, and the
// events, including close bodies, must be the same after they are written and read again.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "base/check.h"
#include "codec/websocket_codec.h"

using namespace megacomet;

namespace {

/// Records the events of a stream; a message counts when it is complete. Also encodes the events as
/// frames, one per message.
class Recorder final : public WebSocketEvents {
 public:
  explicit Recorder(bool is_masked) : is_masked_(is_masked) {}

  bool on_message_part(const WebSocketPart& part) override {
    MC_CHECK(part.is_first == !is_open_);
    MC_CHECK(part.opcode == WebSocketOpcode::kText || part.opcode == WebSocketOpcode::kBinary);
    if (part.is_first) {
      message_.clear();
      opcode_ = part.opcode;
    }
    MC_CHECK(part.opcode == opcode_);
    is_open_ = !part.is_final;
    message_ += part.bytes;
    if (part.is_final) note(part.opcode, message_, part.is_compressed);
    if (part.is_final && part.opcode == WebSocketOpcode::kText && !part.is_compressed) {
      MC_CHECK(is_valid_utf8(message_));
    }
    return true;
  }
  bool on_ping(std::string_view payload) override {
    note(WebSocketOpcode::kPing, payload, false);
    return true;
  }
  bool on_pong(std::string_view payload) override {
    note(WebSocketOpcode::kPong, payload, false);
    return true;
  }
  void on_close(const WebSocketClose& close) override {
    uint8_t body[kWebSocketControlBytesMax];
    const size_t size = encode_websocket_close(close, body);
    note(WebSocketOpcode::kClose, {reinterpret_cast<const char*>(body), size}, false);
    log += std::to_string(close.code);
  }
  void on_error(uint16_t code) override { log += "error " + std::to_string(code); }

  std::string log;
  std::string frames;

 private:
  void note(WebSocketOpcode opcode, std::string_view payload, bool is_compressed) {
    log += std::to_string(static_cast<int>(opcode)) + (is_compressed ? "*" : "") + "(";
    log.append(payload).append(") ");
    WebSocketHeader header;
    header.opcode = opcode;
    header.is_compressed = is_compressed;
    header.is_masked = is_masked_;
    header.mask = is_masked_ ? 0x87654321 : 0;
    header.payload_bytes = payload.size();
    uint8_t bytes[kWebSocketHeaderBytesMax];
    const size_t size = encode_websocket_header(header, bytes);
    frames.append(reinterpret_cast<const char*>(bytes), size);
    const size_t at = frames.size();
    frames.append(payload);
    mask_websocket(reinterpret_cast<uint8_t*>(frames.data() + at), payload.size(), header.mask);
  }

  bool is_masked_;
  bool is_open_ = false;
  WebSocketOpcode opcode_ = WebSocketOpcode::kContinuation;
  std::string message_;
};

Recorder read(const WebSocketRules& rules, std::string_view stream, size_t part) {
  WebSocketMessages messages;
  Recorder recorder(!rules.is_client);
  std::string rest;
  for (size_t at = 0; at < stream.size(); at += part) {
    const std::string before = rest + std::string(stream.substr(at, part));
    // A copy of exact size, so that the sanitizer detects a read past its end.
    std::vector<uint8_t> bytes(before.begin(), before.end());
    const size_t done = messages.feed(rules, bytes.data(), bytes.size(), &recorder);
    rest.assign(bytes.begin() + static_cast<ptrdiff_t>(done), bytes.end());
    MC_CHECK(rest.size() <= kWebSocketRestBytesMax && rest == before.substr(done));
    MC_CHECK(!messages.is_over() || rest.empty());
  }
  return recorder;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  WebSocketRules rules;
  rules.is_client = (data[0] & 1) != 0;
  rules.allows_compression = (data[0] & 2) != 0;
  rules.message_bytes_max = (data[0] & 4) != 0 ? 200 : 4096;
  rules.fragments_max = 1 + (data[0] >> 4);
  const std::string_view stream(reinterpret_cast<const char*>(data + 2), size - 2);
  const Recorder whole = read(rules, stream, size);
  MC_CHECK(read(rules, stream, 1 + data[1]).log == whole.log);
  // The encoded frames give the same events, except for an error, which has no frame.
  const std::string log = read(rules, whole.frames, size).log;
  MC_CHECK(whole.log.compare(0, log.size(), log) == 0);
  MC_CHECK(log.size() == whole.log.size() || whole.log.compare(log.size(), 6, "error ") == 0);
  WebSocketClose close{};
  if (parse_websocket_close(stream.substr(0, kWebSocketControlBytesMax), &close) != 0) return 0;
  uint8_t body[kWebSocketControlBytesMax];
  const size_t written = encode_websocket_close(close, body);
  MC_CHECK(written == std::min(stream.size(), kWebSocketControlBytesMax));
  MC_CHECK(std::memcmp(body, stream.data(), written) == 0);
  return 0;
}
