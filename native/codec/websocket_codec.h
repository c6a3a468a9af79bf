// WebSocket frames: reads a stream of frames into messages, and writes frames.
// RFC 6455, with the bit of compressed messages of RFC 7692. No I/O, no allocation.
//
// A violation is reported as the close code to send. Supports both ends: a server requires masked
// frames, a client unmasked ones (RFC 6455 5.1).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "base/bounds.h"
#include "codec/utf8.h"

namespace megacomet {

enum class WebSocketOpcode : uint8_t {
  kContinuation = 0x0,
  kText = 0x1,
  kBinary = 0x2,
  kClose = 0x8,
  kPing = 0x9,
  kPong = 0xa,
};

/// Codes of a close frame, RFC 6455 7.4.1.
namespace close_code {
constexpr uint16_t kNormal = 1000;
constexpr uint16_t kGoingAway = 1001;
constexpr uint16_t kProtocolError = 1002;
constexpr uint16_t kUnsupported = 1003;
/// Represents a close frame without a code; never sent.
constexpr uint16_t kNone = 1005;
constexpr uint16_t kInvalidPayload = 1007;
constexpr uint16_t kPolicy = 1008;
constexpr uint16_t kTooBig = 1009;
constexpr uint16_t kInternal = 1011;
constexpr uint16_t kTryAgainLater = 1013;
/// Of the IANA registry, as HTTP's 401: the client needs another token.
constexpr uint16_t kUnauthorized = 3000;
}  // namespace close_code

/// Bytes of the longest header: two, eight of length, four of mask.
constexpr size_t kWebSocketHeaderBytesMax = 14;
/// Bytes of a control frame's payload, RFC 6455 5.5.
constexpr size_t kWebSocketControlBytesMax = 125;
/// Bytes that WebSocketMessages::feed() can leave: the longest control frame without one byte.
constexpr size_t kWebSocketRestBytesMax = 2 + 4 + kWebSocketControlBytesMax - 1;

struct WebSocketHeader {
  WebSocketOpcode opcode = WebSocketOpcode::kContinuation;
  bool is_final = true;
  /// RSV1 of a message's first frame: its payload is deflated, RFC 7692 6.
  bool is_compressed = false;
  bool is_masked = false;
  /// Length of the header itself. Not read when encoding.
  uint8_t header_bytes = 0;
  /// The four bytes of the key, in memory order.
  uint32_t mask = 0;
  uint64_t payload_bytes = 0;
};

/// The rules of a reader, from the handshake and from options. Many connections share them.
struct WebSocketRules {
  /// This end is a client: it receives unmasked frames.
  bool is_client = false;
  /// The handshake agreed on permessage-deflate.
  bool allows_compression = false;
  /// Payload of one message, over all of its frames.
  uint32_t message_bytes_max = 0;
  uint32_t fragments_max = bounds::kWebSocketFragmentsMax;
};

enum class WebSocketHeaderStatus : uint8_t {
  kWhole,
  /// The bytes so far are valid.
  kIncomplete,
  /// Close with kProtocolError.
  kBroken,
};

/// Reads the header at the start of the bytes, and detects a fault at its first byte. Does not
/// check rules that depend on other frames, and of the payload's length only the encoding.
[[nodiscard]] WebSocketHeaderStatus decode_websocket_header(const uint8_t* bytes,
                                                            size_t size,
                                                            const WebSocketRules& rules,
                                                            WebSocketHeader* out);

/// Writes a header and returns its length. `out` has room for kWebSocketHeaderBytesMax. A client
/// masks each frame with a new key that its peer cannot guess (RFC 6455 5.3); a server never masks.
size_t encode_websocket_header(const WebSocketHeader& header, uint8_t* out);

/// Masks or unmasks in place; both are the same operation. Returns the key rotated for the next
/// byte, so that a payload can be processed in parts.
uint32_t mask_websocket(uint8_t* bytes, size_t size, uint32_t mask);

struct WebSocketClose {
  /// kNone if the frame had no body.
  uint16_t code;
  std::string_view reason;
};

/// Reads the body of a close frame. Returns 0, or the code to close with: kProtocolError for half a
/// code or a forbidden one, kInvalidPayload for a reason that is not UTF-8.
[[nodiscard]] uint16_t parse_websocket_close(std::string_view payload, WebSocketClose* out);

/// Writes the body of a close frame and returns its length; an empty one for kNone. Truncates a
/// long reason between two characters. `out` has room for kWebSocketControlBytesMax.
size_t encode_websocket_close(const WebSocketClose& close, uint8_t* out);

/// A part of a message's payload, unmasked. It can be less or more than one frame.
struct WebSocketPart {
  std::string_view bytes;
  /// kText or kBinary, the same in each part.
  WebSocketOpcode opcode;
  bool is_first;
  bool is_final;
  bool is_compressed;
};

/// The events of a stream of frames. Views are valid during the call. After a callback returns
/// false the reader does not access itself again, so the callback may free it.
class WebSocketEvents {
 public:
  /// Text is valid UTF-8 so far. Compressed text is not checked: the caller checks it after
  /// inflating.
  virtual bool on_message_part(const WebSocketPart& part) = 0;
  /// Answer with a pong of the same payload.
  virtual bool on_ping(std::string_view payload) = 0;
  virtual bool on_pong(std::string_view payload) = 0;
  /// The peer closes: answer with a close frame, unless one was sent. No event follows.
  virtual void on_close(const WebSocketClose& close) = 0;
  /// The peer violated a rule: send a close frame with this code. No event follows.
  virtual void on_error(uint16_t code) = 0;

 protected:
  ~WebSocketEvents() = default;
};

/// The state of a peer's stream of frames. Plain data. An idle connection has the initial state and
/// therefore need not store one (see is_idle()).
class WebSocketMessages {
 public:
  /// Reads received bytes, and returns how many are consumed.
  ///
  /// The rest, at most kWebSocketRestBytesMax, is an incomplete header or control frame: the caller
  /// keeps it and prepends it to the next bytes. Payload is unmasked in place; the rest is
  /// unchanged.
  ///
  /// The codes of on_error(): kProtocolError for framing, kInvalidPayload for text (at the first
  /// invalid byte), kTooBig for the length of a message (at the header, before any payload),
  /// kPolicy for the number of its frames.
  size_t feed(const WebSocketRules& rules, uint8_t* bytes, size_t size, WebSocketEvents* events);

  /// Whether this is the initial state: no frame and no message is open. The rest of feed() is
  /// separate.
  [[nodiscard]] bool is_idle() const { return left_ == 0 && !is_in_message_ && !is_over_; }

  /// Whether a message has started and its last frame is incomplete.
  [[nodiscard]] bool is_in_message() const { return is_in_message_; }

  /// Whether on_close() or on_error() was called: further bytes are dropped.
  [[nodiscard]] bool is_over() const { return is_over_; }

 private:
  enum class Step : uint8_t { kGoOn, kWait, kStop };
  /// The bytes of feed(), and the current position.
  struct Input {
    uint8_t* bytes;
    size_t size;
    size_t at;
  };

  Step take_header(const WebSocketRules& rules, Input* input, WebSocketEvents* events);
  Step take_control(const WebSocketHeader& header, Input* input, WebSocketEvents* events);
  Step take_payload(Input* input, WebSocketEvents* events);
  Step give_close(std::string_view payload, WebSocketEvents* events);
  Step fail(uint16_t code, WebSocketEvents* events);
  [[nodiscard]] uint16_t begin_frame(const WebSocketRules& rules, const WebSocketHeader& header);

  /// Of the current frame: missing bytes, and the key for the next byte.
  uint32_t left_ = 0;
  uint32_t mask_ = 0;
  /// Of the current message: payload of the frames that have started, and their number.
  uint32_t total_ = 0;
  uint32_t fragments_ = 0;
  Utf8Reader utf8_;
  WebSocketOpcode opcode_ = WebSocketOpcode::kContinuation;
  bool is_in_message_ = false;
  bool is_compressed_ = false;
  bool is_final_frame_ = false;
  bool has_given_part_ = false;
  bool is_over_ = false;
};

static_assert(sizeof(WebSocketMessages) <= 32, "a million incomplete messages take 32 MB");
static_assert(std::is_trivially_copyable_v<WebSocketMessages>, "sessions copy it");

}  // namespace megacomet
