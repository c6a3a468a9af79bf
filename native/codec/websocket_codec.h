// WebSocket frames: reading a stream of them into messages, and writing them.
// RFC 6455, with the bit that RFC 7692 gives to compressed messages. No I/O, no allocation.
//
// Where a rule is broken, the answer is the code to close with. Both ends are served: a server's
// reader wants every frame masked, a client's none (RFC 6455 5.1).
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
/// Stands for a close frame without a code; never sent.
constexpr uint16_t kNone = 1005;
constexpr uint16_t kInvalidPayload = 1007;
constexpr uint16_t kPolicy = 1008;
constexpr uint16_t kTooBig = 1009;
constexpr uint16_t kInternal = 1011;
constexpr uint16_t kTryAgainLater = 1013;
}  // namespace close_code

/// Bytes of the longest header: two, a length of eight, a mask of four.
constexpr size_t kWebSocketHeaderBytesMax = 14;
/// Bytes of a control frame's payload, RFC 6455 5.5.
constexpr size_t kWebSocketControlBytesMax = 125;
/// Bytes that WebSocketMessages::feed() can leave: all but one of the longest control frame.
constexpr size_t kWebSocketRestBytesMax = 2 + 4 + kWebSocketControlBytesMax - 1;

struct WebSocketHeader {
  WebSocketOpcode opcode = WebSocketOpcode::kContinuation;
  bool is_final = true;
  /// RSV1 of a message's first frame: its payload is deflated, RFC 7692 6.
  bool is_compressed = false;
  bool is_masked = false;
  /// Length of the header itself. Not read when encoding.
  uint8_t header_bytes = 0;
  /// The four bytes of the key as they lie in memory.
  uint32_t mask = 0;
  uint64_t payload_bytes = 0;
};

/// What a reader lets pass: fixed by the handshake and by options, the same for many connections.
struct WebSocketRules {
  /// This end is a client: frames come unmasked.
  bool is_client = false;
  /// permessage-deflate was agreed on.
  bool allows_compression = false;
  /// Payload of one message, over all of its frames.
  uint32_t message_bytes_max = 0;
  uint32_t fragments_max = bounds::kWebSocketFragmentsMax;
};

enum class WebSocketHeaderStatus : uint8_t {
  kWhole,
  /// What is there is right so far.
  kIncomplete,
  /// Close with kProtocolError.
  kBroken,
};

/// Reads the header at the start of the bytes, and finds a fault as soon as its byte is there. Does
/// not judge what depends on other frames, nor the payload's length beyond its form.
[[nodiscard]] WebSocketHeaderStatus decode_websocket_header(const uint8_t* bytes,
                                                            size_t size,
                                                            const WebSocketRules& rules,
                                                            WebSocketHeader* out);

/// Writes a header and returns its length. `out` has room for kWebSocketHeaderBytesMax. A client
/// masks each frame with a new key that its peer cannot guess (RFC 6455 5.3); a server never masks.
size_t encode_websocket_header(const WebSocketHeader& header, uint8_t* out);

/// Masks or unmasks in place; both are the same. Returns the key as the byte after the last one
/// needs it, so that a payload can be treated in parts.
uint32_t mask_websocket(uint8_t* bytes, size_t size, uint32_t mask);

struct WebSocketClose {
  /// kNone if the frame had no body.
  uint16_t code;
  std::string_view reason;
};

/// Reads the body of a close frame. Returns 0, or the code to answer with: kProtocolError for half
/// a code or one that may not be sent, kInvalidPayload for a reason that is not UTF-8.
[[nodiscard]] uint16_t parse_websocket_close(std::string_view payload, WebSocketClose* out);

/// Writes the body of a close frame and returns its length; kNone makes an empty one. A reason that
/// does not fit is cut between two characters. `out` has room for kWebSocketControlBytesMax.
size_t encode_websocket_close(const WebSocketClose& close, uint8_t* out);

/// A piece of a message's payload, unmasked. It need not be a whole frame, nor one frame only.
struct WebSocketPart {
  std::string_view bytes;
  /// kText or kBinary, in each part.
  WebSocketOpcode opcode;
  bool is_first;
  bool is_final;
  bool is_compressed;
};

/// What a stream of frames comes to. Views are valid during the call. True means to read on; after
/// false the reader is not touched again, so that a callback may have freed it.
class WebSocketEvents {
 public:
  /// Text has been checked as far as it came, unless it is compressed: then nobody can but who
  /// inflates it.
  virtual bool on_message_part(const WebSocketPart& part) = 0;
  /// To be answered with a pong of the same payload.
  virtual bool on_ping(std::string_view payload) = 0;
  virtual bool on_pong(std::string_view payload) = 0;
  /// The peer closes: answer with a close frame, unless one was sent. Nothing is read after it.
  virtual void on_close(const WebSocketClose& close) = 0;
  /// The peer broke a rule: send a close frame with this code, and end. Nothing is read after it.
  virtual void on_error(uint16_t code) = 0;

 protected:
  ~WebSocketEvents() = default;
};

/// Where a peer's stream of frames stands. Plain data: as it begins, it is all there is to know
/// about an idle connection, which therefore needs none (see is_idle()).
class WebSocketMessages {
 public:
  /// Reads what has come, and returns how much of it is done with.
  ///
  /// The rest, at most kWebSocketRestBytesMax, is a header or a control frame that has not come
  /// whole: the caller keeps it, and puts it before what comes next. Payload is unmasked where it
  /// lies; the rest is left as it came.
  ///
  /// Broken rules, as they come to on_error(): framing kProtocolError, text kInvalidPayload (at the
  /// first byte that no text can have), length of a message kTooBig (by the header, before any of
  /// the payload), number of its frames kPolicy.
  size_t feed(const WebSocketRules& rules, uint8_t* bytes, size_t size, WebSocketEvents* events);

  /// Whether this may be forgotten, if feed() also left no rest: no frame and no message is open.
  [[nodiscard]] bool is_idle() const { return left_ == 0 && !is_in_message_ && !is_over_; }

  /// Whether a message has begun of which the last frame has not come whole.
  [[nodiscard]] bool is_in_message() const { return is_in_message_; }

  /// Whether on_close() or on_error() was called: what comes now is dropped.
  [[nodiscard]] bool is_over() const { return is_over_; }

 private:
  enum class Step : uint8_t { kGoOn, kWait, kStop };
  /// The bytes that feed() was given, and how far it is.
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

  /// Of the frame at hand: bytes to come, and the key as the next one needs it.
  uint32_t left_ = 0;
  uint32_t mask_ = 0;
  /// Of the message at hand: payload of the frames begun so far, and their number.
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

static_assert(sizeof(WebSocketMessages) <= 32, "a million half-read messages stay affordable");
static_assert(std::is_trivially_copyable_v<WebSocketMessages>, "it can be handed over as it is");

}  // namespace megacomet
