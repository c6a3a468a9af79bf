// The reader and the writer of frames. See websocket_codec.h.
#include "codec/websocket_codec.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace megacomet {

namespace {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "a mask rotates in memory order");

// The first two bytes of a frame, RFC 6455 5.2.
constexpr uint8_t kFinal = 0x80;
constexpr uint8_t kCompressed = 0x40;
constexpr uint8_t kReserved = 0x30;
constexpr uint8_t kOpcode = 0x0f;
constexpr uint8_t kMasked = 0x80;
constexpr uint8_t kLength = 0x7f;
/// Length values that announce a length of two or of eight bytes.
constexpr uint8_t kLengthOfTwo = 126;
constexpr uint8_t kLengthOfEight = 127;

constexpr size_t kMaskBytes = sizeof(uint32_t);

bool is_known(uint8_t opcode) {
  return opcode <= 0x2 || (opcode >= 0x8 && opcode <= 0xa);
}

bool is_control(WebSocketOpcode opcode) {
  return opcode >= WebSocketOpcode::kClose;
}

uint64_t load_big_endian(const uint8_t* bytes, size_t size) {
  uint64_t value = 0;
  for (size_t at = 0; at < size; ++at) value = value << 8 | bytes[at];
  return value;
}

void store_big_endian(uint64_t value, uint8_t* bytes, size_t size) {
  for (size_t at = size; at-- > 0; value >>= 8) bytes[at] = static_cast<uint8_t>(value);
}

bool is_first_byte_right(uint8_t byte, const WebSocketRules& rules) {
  const uint8_t opcode = byte & kOpcode;
  if ((byte & kReserved) != 0 || !is_known(opcode)) return false;
  const auto known = static_cast<WebSocketOpcode>(opcode);
  // RFC 6455 5.5: control frames are not fragmented.
  if (is_control(known) && (byte & kFinal) == 0) return false;
  // RFC 7692 6.1: only the first frame of a message has the bit.
  const bool is_start = !is_control(known) && known != WebSocketOpcode::kContinuation;
  return (byte & kCompressed) == 0 || (rules.allows_compression && is_start);
}

bool is_second_byte_right(uint8_t byte, WebSocketOpcode opcode, const WebSocketRules& rules) {
  const bool is_masked = (byte & kMasked) != 0;
  if (is_masked == rules.is_client) return false;
  return !is_control(opcode) || (byte & kLength) <= kWebSocketControlBytesMax;
}

/// The number of length bytes after the second byte.
size_t length_bytes(uint8_t second) {
  const uint8_t length = second & kLength;
  if (length == kLengthOfEight) return 8;
  return length == kLengthOfTwo ? 2 : 0;
}

/// RFC 6455 5.2: the shortest encoding, without the highest bit.
bool is_length_right(uint64_t length, size_t in_bytes) {
  if (in_bytes == 2) return length >= kLengthOfTwo;
  return length > UINT16_MAX && length >> 63 == 0;
}

/// RFC 6455 7.4 and its registry, which has added 1012 to 1014. Codes above 4999 are undefined.
bool may_be_sent(uint16_t code) {
  if (code >= 3000) return code <= 4999;
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014);
}

/// The number of bytes, at most `room`, that end between two characters.
size_t cut_between_characters(std::string_view text, size_t room) {
  if (text.size() <= room) return text.size();
  size_t size = room;
  // A byte 10xxxxxx continues the character before it.
  while (size > 0 && (static_cast<uint8_t>(text[size]) & 0xc0) == 0x80) --size;
  return size;
}

/// The maximum payload of a message's frames. Deflate can lengthen a message by five bytes per
/// block, and a message at the limit must still be accepted.
uint64_t payload_bytes_max(const WebSocketRules& rules, bool is_compressed) {
  const uint64_t most = rules.message_bytes_max;
  if (!is_compressed) return most;
  return std::min<uint64_t>(most + most / 64 + 64, UINT32_MAX);
}

std::string_view view_of(const uint8_t* bytes, size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

}  // namespace

WebSocketHeaderStatus decode_websocket_header(const uint8_t* bytes,
                                              size_t size,
                                              const WebSocketRules& rules,
                                              WebSocketHeader* out) {
  using Status = WebSocketHeaderStatus;
  if (size == 0) return Status::kIncomplete;
  if (!is_first_byte_right(bytes[0], rules)) return Status::kBroken;
  if (size == 1) return Status::kIncomplete;
  const auto opcode = static_cast<WebSocketOpcode>(bytes[0] & kOpcode);
  if (!is_second_byte_right(bytes[1], opcode, rules)) return Status::kBroken;
  const size_t in_bytes = length_bytes(bytes[1]);
  const size_t mask_at = 2 + in_bytes;
  if (size < mask_at) return Status::kIncomplete;
  const uint64_t length = in_bytes == 0 ? bytes[1] & kLength : load_big_endian(bytes + 2, in_bytes);
  if (in_bytes != 0 && !is_length_right(length, in_bytes)) return Status::kBroken;
  WebSocketHeader header;
  header.opcode = opcode;
  header.is_final = (bytes[0] & kFinal) != 0;
  header.is_compressed = (bytes[0] & kCompressed) != 0;
  header.is_masked = (bytes[1] & kMasked) != 0;
  header.header_bytes = static_cast<uint8_t>(mask_at + (header.is_masked ? kMaskBytes : 0));
  header.payload_bytes = length;
  if (size < header.header_bytes) return Status::kIncomplete;
  if (header.is_masked) std::memcpy(&header.mask, bytes + mask_at, kMaskBytes);
  *out = header;
  return Status::kWhole;
}

size_t encode_websocket_header(const WebSocketHeader& header, uint8_t* out) {
  const uint64_t length = header.payload_bytes;
  MC_CHECK(length >> 63 == 0);
  MC_CHECK(!is_control(header.opcode) || (length <= kWebSocketControlBytesMax && header.is_final));
  uint8_t first = static_cast<uint8_t>(header.opcode);
  if (header.is_final) first |= kFinal;
  if (header.is_compressed) first |= kCompressed;
  uint8_t second = header.is_masked ? kMasked : 0;
  if (length < kLengthOfTwo) {
    second |= static_cast<uint8_t>(length);
  } else {
    second |= length <= UINT16_MAX ? kLengthOfTwo : kLengthOfEight;
  }
  out[0] = first;
  out[1] = second;
  const size_t in_bytes = length_bytes(second);
  store_big_endian(length, out + 2, in_bytes);
  if (!header.is_masked) return 2 + in_bytes;
  std::memcpy(out + 2 + in_bytes, &header.mask, kMaskBytes);
  return 2 + in_bytes + kMaskBytes;
}

uint32_t mask_websocket(uint8_t* bytes, size_t size, uint32_t mask) {
  const uint64_t twice = uint64_t{mask} << 32 | mask;
  size_t at = 0;
  for (; size - at >= sizeof twice; at += sizeof twice) {
    uint64_t word = 0;
    std::memcpy(&word, bytes + at, sizeof word);
    word ^= twice;
    std::memcpy(bytes + at, &word, sizeof word);
  }
  // Eight is a multiple of four, so the key is not rotated; from here it rotates byte by byte.
  for (; at < size; ++at) {
    bytes[at] ^= static_cast<uint8_t>(mask);
    mask = mask >> 8 | mask << 24;
  }
  return mask;
}

uint16_t parse_websocket_close(std::string_view payload, WebSocketClose* out) {
  *out = {close_code::kNone, {}};
  if (payload.empty()) return 0;
  if (payload.size() == 1) return close_code::kProtocolError;
  const auto* bytes = reinterpret_cast<const uint8_t*>(payload.data());
  const auto code = static_cast<uint16_t>(load_big_endian(bytes, 2));
  if (!may_be_sent(code)) return close_code::kProtocolError;
  const std::string_view reason = payload.substr(2);
  if (!is_valid_utf8(reason)) return close_code::kInvalidPayload;
  *out = {code, reason};
  return 0;
}

size_t encode_websocket_close(const WebSocketClose& close, uint8_t* out) {
  if (close.code == close_code::kNone) return 0;
  MC_CHECK(may_be_sent(close.code));
  store_big_endian(close.code, out, 2);
  const size_t size = cut_between_characters(close.reason, kWebSocketControlBytesMax - 2);
  // memcpy must not get a null pointer, even for zero bytes.
  if (size > 0) std::memcpy(out + 2, close.reason.data(), size);
  return 2 + size;
}

size_t WebSocketMessages::feed(const WebSocketRules& rules,
                               uint8_t* bytes,
                               size_t size,
                               WebSocketEvents* events) {
  if (is_over_) return size;
  Input input{bytes, size, 0};
  while (input.at < input.size) {
    const Step step = left_ > 0 ? take_payload(&input, events) : take_header(rules, &input, events);
    if (step == Step::kWait) return input.at;
    if (step == Step::kStop) return size;
  }
  return size;
}

WebSocketMessages::Step WebSocketMessages::take_header(const WebSocketRules& rules,
                                                       Input* input,
                                                       WebSocketEvents* events) {
  WebSocketHeader header;
  const WebSocketHeaderStatus status =
      decode_websocket_header(input->bytes + input->at, input->size - input->at, rules, &header);
  if (status == WebSocketHeaderStatus::kIncomplete) return Step::kWait;
  if (status == WebSocketHeaderStatus::kBroken) return fail(close_code::kProtocolError, events);
  if (is_control(header.opcode)) return take_control(header, input, events);
  const uint16_t fault = begin_frame(rules, header);
  if (fault != 0) return fail(fault, events);
  input->at += header.header_bytes;
  // An empty frame is complete at its header, and can complete its message.
  return left_ == 0 ? take_payload(input, events) : Step::kGoOn;
}

uint16_t WebSocketMessages::begin_frame(const WebSocketRules& rules,
                                        const WebSocketHeader& header) {
  // RFC 6455 5.4: frames of two messages must not interleave.
  const bool is_start = header.opcode != WebSocketOpcode::kContinuation;
  if (is_start == is_in_message_) return close_code::kProtocolError;
  if (is_start) {
    opcode_ = header.opcode;
    is_compressed_ = header.is_compressed;
    total_ = 0;
    fragments_ = 0;
    utf8_ = Utf8Reader();
    is_in_message_ = true;
    has_given_part_ = false;
  }
  if (fragments_ >= rules.fragments_max) return close_code::kPolicy;
  // The limit can have been lowered after the message started.
  const uint64_t most = payload_bytes_max(rules, is_compressed_);
  if (total_ > most || header.payload_bytes > most - total_) return close_code::kTooBig;
  ++fragments_;
  left_ = static_cast<uint32_t>(header.payload_bytes);
  total_ += left_;
  mask_ = header.mask;
  is_final_frame_ = header.is_final;
  return 0;
}

WebSocketMessages::Step WebSocketMessages::take_payload(Input* input, WebSocketEvents* events) {
  uint8_t* bytes = input->bytes + input->at;
  const size_t size = std::min<size_t>(left_, input->size - input->at);
  if (mask_ != 0) mask_ = mask_websocket(bytes, size, mask_);
  left_ -= static_cast<uint32_t>(size);
  input->at += size;
  const bool is_final = left_ == 0 && is_final_frame_;
  const std::string_view view = view_of(bytes, size);
  if (opcode_ == WebSocketOpcode::kText && !is_compressed_) {
    // RFC 6455 8.1. At once, so that an invalid text is not read to its end.
    if (!utf8_.feed(view) || (is_final && !utf8_.is_complete())) {
      return fail(close_code::kInvalidPayload, events);
    }
  }
  // An empty frame within a message has no part to deliver.
  if (size == 0 && !is_final) return Step::kGoOn;
  const bool is_first = !has_given_part_;
  has_given_part_ = true;
  if (is_final) is_in_message_ = false;
  const WebSocketPart part{view, opcode_, is_first, is_final, is_compressed_};
  return events->on_message_part(part) ? Step::kGoOn : Step::kStop;
}

WebSocketMessages::Step WebSocketMessages::take_control(const WebSocketHeader& header,
                                                        Input* input,
                                                        WebSocketEvents* events) {
  const size_t size = header.payload_bytes;
  if (input->size - input->at < header.header_bytes + size) return Step::kWait;
  uint8_t* bytes = input->bytes + input->at + header.header_bytes;
  mask_websocket(bytes, size, header.mask);
  input->at += header.header_bytes + size;
  const std::string_view payload = view_of(bytes, size);
  if (header.opcode == WebSocketOpcode::kClose) return give_close(payload, events);
  const bool goes_on =
      header.opcode == WebSocketOpcode::kPing ? events->on_ping(payload) : events->on_pong(payload);
  return goes_on ? Step::kGoOn : Step::kStop;
}

WebSocketMessages::Step WebSocketMessages::give_close(std::string_view payload,
                                                      WebSocketEvents* events) {
  WebSocketClose close{};
  const uint16_t fault = parse_websocket_close(payload, &close);
  if (fault != 0) return fail(fault, events);
  is_over_ = true;
  events->on_close(close);
  return Step::kStop;
}

WebSocketMessages::Step WebSocketMessages::fail(uint16_t code, WebSocketEvents* events) {
  // Before the call, which may free this object.
  is_over_ = true;
  events->on_error(code);
  return Step::kStop;
}

}  // namespace megacomet
