// The state machine of the reader. See comet_reader.h.
#include "dialer/comet_reader.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "base/ascii.h"
#include "base/hash.h"

namespace megacomet {

namespace {

constexpr uint8_t kHasId = 1;
constexpr uint8_t kHasData = 2;
constexpr uint8_t kIsMessage = 4;
constexpr uint8_t kIsSubscribed = 8;
constexpr uint8_t kIsGap = 16;
/// A frame ended within a cursor, which continues in the next frame.
constexpr uint8_t kIsInCursor = 32;
constexpr uint8_t kIsServerEvent = 64;

constexpr std::string_view kStatusPrefix = "HTTP/1.1 ";
constexpr size_t kStatusDigits = 3;
constexpr std::string_view kLengthName = "content-length: ";
constexpr std::string_view kCursorName = "megacomet-cursor: ";
constexpr std::string_view kSseIdPrefix = "id: ";
/// The start of the names of the server's own events; a "g" follows in "megacomet.gap".
constexpr std::string_view kSseServerEvent = "event: megacomet.";

/// Within a string of JSON each quote is escaped, so these texts occur only between members. The
/// quote at the start distinguishes a message's cursor from that of the surrounding batch.
constexpr std::string_view kCursorMember = "\",\"cursor\":\"";
constexpr std::string_view kGapMember = "\"recovered\":false";

/// Column of the first letter of the type in `{"type":"message"` and `{"type":"subscribed"`.
constexpr uint8_t kTypeColumn = 9;

constexpr uint8_t kFinal = 0x80;
constexpr uint8_t kOpcodeBits = 0x0f;
constexpr uint8_t kMasked = 0x80;
constexpr uint8_t kOpcodeControl = 0x08;
constexpr uint8_t kOpcodeClose = 0x08;
constexpr uint8_t kOpcodePing = 0x09;

/// The number of matched characters of `word` after `byte`, if `matched` were before it.
uint8_t advance(std::string_view word, uint8_t matched, uint8_t byte) {
  for (size_t length = matched + 1U; length > 0; --length) {
    // The longest prefix of the word that is a suffix of the text.
    const bool fits = static_cast<uint8_t>(word[length - 1]) == byte;
    const size_t before = length - 1;
    if (fits && word.substr(0, before) == word.substr(matched - before, before)) {
      return static_cast<uint8_t>(length);
    }
  }
  return 0;
}

void step_column(CometScan* scan) {
  if (scan->column < UINT8_MAX) ++scan->column;
}

void go(CometScan* scan, ScanStep step) {
  scan->step = step;
  scan->column = scan->matched = 0;
}

class Reader {
 public:
  Reader(DialTransport transport, CometScan* scan, CometInput* input)
      : transport_(transport), scan_(*scan), input_(*input) {}

  CometEvent run() {
    while (true) {
      // A poll without a body and a frame without a payload are complete without another byte.
      const bool is_over = is_unit_over();
      if (!is_over && input_.at == input_.end) return CometEvent::kNone;
      const CometEvent event = is_over ? end_unit() : take();
      if (event != CometEvent::kNone) return event;
    }
  }

 private:
  void add_to_cursor(uint8_t byte) {
    scan_.key = fnv1a(byte, scan_.key);
    // The digits before the dot are the epoch.
    if (transport_ != DialTransport::kPoll) {
      scan_.number = byte == '.' ? 0 : scan_.number * 10 + (byte & 0x0f);
    }
  }

  [[nodiscard]] bool has_length() const {
    return transport_ == DialTransport::kWebSocket || transport_ == DialTransport::kPoll;
  }

  [[nodiscard]] bool is_unit_over() const {
    const bool is_in_unit = scan_.step == ScanStep::kJson || scan_.step == ScanStep::kJsonCursor ||
                            scan_.step == ScanStep::kControl;
    // The block of a gap is a position too.
    if (scan_.step == ScanStep::kSseLine && (scan_.flags & kIsSubscribed) != 0) return true;
    return is_in_unit && has_length() && scan_.left == 0;
  }

  CometEvent take() {
    switch (scan_.step) {
      case ScanStep::kStatusLine:
        return take_status(*input_.at++);
      case ScanStep::kHeadLine:
        return take_head_line(*input_.at++);
      case ScanStep::kHeadName:
        return take_head_name(*input_.at++);
      case ScanStep::kHeadRest:
        return skip_line(ScanStep::kHeadLine);
      case ScanStep::kHeadLength:
      case ScanStep::kHeadEpoch:
      case ScanStep::kHeadNumber:
        return take_head_value(*input_.at++);
      case ScanStep::kSseLine:
        return take_sse_line(*input_.at++);
      case ScanStep::kSseId:
        return take_sse_id(*input_.at++);
      case ScanStep::kSseEvent:
        return take_sse_event(*input_.at++);
      case ScanStep::kSseRest:
        return skip_line(ScanStep::kSseLine);
      case ScanStep::kFrame:
        return take_frame(*input_.at++);
      case ScanStep::kControl:
        skip_payload();
        return CometEvent::kNone;
      case ScanStep::kJson:
        return take_json();
      case ScanStep::kJsonCursor:
        return take_json_cursor();
    }
    return CometEvent::kBroken;
  }

  // ---- The head

  CometEvent take_status(uint8_t byte) {
    const size_t at = scan_.column;
    if (at == 0) {
      scan_.status = 0;
      // The cursor in a poll's head: zero if the head has none.
      if (transport_ == DialTransport::kPoll) scan_.key = 0;
    }
    step_column(&scan_);
    if (at < kStatusPrefix.size()) {
      return static_cast<uint8_t>(kStatusPrefix[at]) == byte ? CometEvent::kNone
                                                             : CometEvent::kBroken;
    }
    if (at < kStatusPrefix.size() + kStatusDigits) {
      if (byte < '0' || byte > '9') return CometEvent::kBroken;
      scan_.status = static_cast<uint16_t>(scan_.status * 10 + (byte - '0'));
    }
    if (byte == '\n') go(&scan_, ScanStep::kHeadLine);
    return CometEvent::kNone;
  }

  CometEvent take_head_line(uint8_t byte) {
    if (byte == '\r') return CometEvent::kNone;
    if (byte == '\n') return end_head();
    const char letter = ascii::to_lower(static_cast<char>(byte));
    const bool may_matter = letter == kLengthName[0] || letter == kCursorName[0];
    go(&scan_, may_matter ? ScanStep::kHeadName : ScanStep::kHeadRest);
    scan_.matched = 1;
    if (letter == kCursorName[0]) scan_.flags |= kHasId;
    return CometEvent::kNone;
  }

  CometEvent take_head_name(uint8_t byte) {
    const bool is_cursor = (scan_.flags & kHasId) != 0;
    const std::string_view name = is_cursor ? kCursorName : kLengthName;
    if (name[scan_.matched] != ascii::to_lower(static_cast<char>(byte))) {
      scan_.flags = 0;
      go(&scan_, byte == '\n' ? ScanStep::kHeadLine : ScanStep::kHeadRest);
      return CometEvent::kNone;
    }
    if (++scan_.matched < name.size()) return CometEvent::kNone;
    scan_.flags = 0;
    go(&scan_, is_cursor ? ScanStep::kHeadEpoch : ScanStep::kHeadLength);
    if (is_cursor) scan_.key = scan_.number = 0;
    return CometEvent::kNone;
  }

  CometEvent take_head_value(uint8_t byte) {
    const bool is_digit = byte >= '0' && byte <= '9';
    if (scan_.step == ScanStep::kHeadEpoch) {
      if (byte == '.') {
        go(&scan_, ScanStep::kHeadNumber);
        return CometEvent::kNone;
      }
      if (!is_digit && (byte < 'a' || byte > 'f')) return CometEvent::kBroken;
      scan_.key = scan_.key << 4 | static_cast<uint64_t>(is_digit ? byte - '0' : byte - 'a' + 10);
      return CometEvent::kNone;
    }
    if (!is_digit) {
      go(&scan_, byte == '\n' ? ScanStep::kHeadLine : ScanStep::kHeadRest);
      return CometEvent::kNone;
    }
    if (scan_.step == ScanStep::kHeadNumber) {
      scan_.number = scan_.number * 10 + (byte - '0');
    } else if (scan_.left > UINT32_MAX / 10 - 1) {
      return CometEvent::kBroken;
    } else {
      scan_.left = scan_.left * 10 + (byte - '0');
    }
    return CometEvent::kNone;
  }

  CometEvent end_head() {
    constexpr ScanStep kFirst[] = {ScanStep::kStatusLine,
                                   ScanStep::kSseLine,
                                   ScanStep::kFrame,
                                   ScanStep::kJson,
                                   ScanStep::kJson};
    go(&scan_, kFirst[static_cast<size_t>(transport_)]);
    scan_.flags = transport_ == DialTransport::kPoll ? kIsMessage : 0;
    return CometEvent::kHead;
  }

  CometEvent skip_line(ScanStep next) {
    const auto size = static_cast<size_t>(input_.end - input_.at);
    const auto* end = static_cast<const uint8_t*>(std::memchr(input_.at, '\n', size));
    input_.at = end == nullptr ? input_.end : end + 1;
    if (end != nullptr) go(&scan_, next);
    return CometEvent::kNone;
  }

  // ---- Server-Sent Events

  CometEvent take_sse_line(uint8_t byte) {
    if (byte == '\n') return end_block();
    if (byte == 'd') scan_.flags |= kHasData;
    const bool is_id = byte == static_cast<uint8_t>(kSseIdPrefix[0]);
    const bool is_event = byte == static_cast<uint8_t>(kSseServerEvent[0]);
    go(&scan_, is_id ? ScanStep::kSseId : is_event ? ScanStep::kSseEvent : ScanStep::kSseRest);
    scan_.column = scan_.matched = 1;
    if (is_id) scan_.key = kFnvStart;
    return CometEvent::kNone;
  }

  CometEvent take_sse_id(uint8_t byte) {
    if (byte == '\n') {
      scan_.flags |= kHasId;
      go(&scan_, ScanStep::kSseLine);
    } else if (scan_.column >= kSseIdPrefix.size()) {
      add_to_cursor(byte);
    }
    step_column(&scan_);
    return CometEvent::kNone;
  }

  CometEvent take_sse_event(uint8_t byte) {
    if (scan_.matched == kSseServerEvent.size()) {
      if (byte != '\n') scan_.flags |= byte == 'g' ? kIsGap : kIsServerEvent;
    } else if (static_cast<uint8_t>(kSseServerEvent[scan_.matched]) == byte) {
      ++scan_.matched;
      return CometEvent::kNone;
    }
    go(&scan_, byte == '\n' ? ScanStep::kSseLine : ScanStep::kSseRest);
    return CometEvent::kNone;
  }

  CometEvent end_block() {
    const uint8_t flags = scan_.flags;
    scan_.flags = 0;
    const bool has_id = (flags & kHasId) != 0;
    if ((flags & kIsGap) != 0) {
      if (has_id) scan_.flags = kIsSubscribed;
      return CometEvent::kGap;
    }
    if (!has_id) return CometEvent::kNone;
    const bool is_message = (flags & kHasData) != 0 && (flags & kIsServerEvent) == 0;
    return is_message ? CometEvent::kMessage : CometEvent::kSubscribed;
  }

  // ---- WebSocket

  CometEvent take_frame(uint8_t byte) {
    const uint8_t at = scan_.column;
    step_column(&scan_);
    if (at == 0) {
      scan_.frame = byte;
      return CometEvent::kNone;
    }
    if (at == 1) {
      if ((byte & kMasked) != 0) return CometEvent::kBroken;
      // `matched` counts the bytes of the length that follow.
      scan_.matched = byte == 127 ? 8 : byte == 126 ? 2 : 0;
      scan_.left = scan_.matched > 0 ? 0 : byte;
    } else {
      if (scan_.left > UINT32_MAX >> 8) return CometEvent::kBroken;
      scan_.left = scan_.left << 8 | byte;
      --scan_.matched;
    }
    if (scan_.matched > 0) return CometEvent::kNone;
    const bool is_control = (scan_.frame & kOpcodeControl) != 0;
    const bool is_further = (scan_.frame & kOpcodeBits) == 0;
    // A fragmented message continues where the previous frame ended.
    if (!is_control && !is_further) scan_.flags = 0;
    const bool is_in_cursor = (scan_.flags & kIsInCursor) != 0;
    scan_.step = is_control     ? ScanStep::kControl
                 : is_in_cursor ? ScanStep::kJsonCursor
                                : ScanStep::kJson;
    if (!is_control) scan_.flags &= static_cast<uint8_t>(~kIsInCursor);
    scan_.column = is_further ? UINT8_MAX : 0;
    return CometEvent::kNone;
  }

  void skip_payload() {
    const auto size = std::min<size_t>(scan_.left, static_cast<size_t>(input_.end - input_.at));
    input_.at += size;
    scan_.left -= static_cast<uint32_t>(size);
  }

  // ---- JSON: an object in a frame or on a line, or the body of a poll

  /// The end of the readable bytes of this unit.
  [[nodiscard]] const uint8_t* limit() const {
    const auto size = static_cast<size_t>(input_.end - input_.at);
    return has_length() ? input_.at + std::min<size_t>(scan_.left, size) : input_.end;
  }

  /// Marks everything up to `to` as read.
  void consume(const uint8_t* to) {
    if (has_length()) scan_.left -= static_cast<uint32_t>(to - input_.at);
    input_.at = to;
  }

  CometEvent take_json() {
    const bool is_line = transport_ == DialTransport::kStream;
    const uint8_t* end = limit();
    const uint8_t* at = input_.at;
    while (at < end) {
      const uint8_t byte = *at++;
      if (is_line && byte == '\n') {
        consume(at);
        return end_unit();
      }
      if (scan_.column == kTypeColumn && transport_ != DialTransport::kPoll) {
        scan_.flags |= byte == 'm' ? kIsMessage : byte == 's' ? kIsSubscribed : 0;
      }
      step_column(&scan_);
      scan_.matched = advance(kCursorMember, scan_.matched, byte);
      scan_.gap_matched = advance(kGapMember, scan_.gap_matched, byte);
      if (scan_.gap_matched == kGapMember.size()) {
        scan_.gap_matched = 0;
        consume(at);
        return CometEvent::kGap;
      }
      // The answer to the subscription has one too: a subscriber that disconnects before its first
      // message resumes there.
      const bool has_cursor = (scan_.flags & (kIsMessage | kIsSubscribed)) != 0;
      if (scan_.matched == kCursorMember.size() && has_cursor) {
        scan_.step = ScanStep::kJsonCursor;
        scan_.matched = 0;
        scan_.key = kFnvStart;
        break;
      }
      if (scan_.matched == kCursorMember.size()) scan_.matched = 0;
      if (scan_.matched == 0 && scan_.gap_matched == 0) at = skip_to_next(at, end, is_line);
    }
    consume(at);
    return CometEvent::kNone;
  }

  /// The next byte that can matter: most bytes of a message are its data.
  [[nodiscard]] const uint8_t* skip_to_next(const uint8_t* at,
                                            const uint8_t* end,
                                            bool is_line) const {
    if (scan_.column <= kTypeColumn) return at;
    // A line or a frame has one cursor, and nothing after it matters.
    constexpr uint8_t kRead = kHasId | kIsMessage;
    const bool is_done = (scan_.flags & kRead) == kRead && transport_ != DialTransport::kPoll;
    if (is_done && !is_line) return end;
    const char wanted = is_done ? '\n' : '"';
    const auto size = static_cast<size_t>(end - at);
    const auto* found =
        static_cast<const uint8_t*>(std::memchr(at, static_cast<uint8_t>(wanted), size));
    if (is_line && !is_done) {
      const size_t span = found == nullptr ? size : static_cast<size_t>(found - at);
      const auto* line_end = static_cast<const uint8_t*>(std::memchr(at, '\n', span));
      if (line_end != nullptr) return line_end;
    }
    return found == nullptr ? end : found;
  }

  CometEvent take_json_cursor() {
    const uint8_t* end = limit();
    const uint8_t* at = input_.at;
    while (at < end) {
      const uint8_t byte = *at++;
      if (byte != '"') {
        add_to_cursor(byte);
        continue;
      }
      scan_.step = ScanStep::kJson;
      scan_.flags |= kHasId;
      consume(at);
      return transport_ == DialTransport::kPoll ? CometEvent::kMessage : CometEvent::kNone;
    }
    consume(at);
    return CometEvent::kNone;
  }

  CometEvent end_unit() {
    const uint8_t flags = scan_.flags;
    const uint8_t opcode = scan_.frame & kOpcodeBits;
    const bool is_control = scan_.step == ScanStep::kControl;
    const bool is_in_cursor = scan_.step == ScanStep::kJsonCursor;
    scan_.column = scan_.matched = scan_.gap_matched = 0;
    if (transport_ == DialTransport::kPoll) {
      scan_.step = ScanStep::kStatusLine;
      scan_.flags = 0;
      return CometEvent::kAnswer;
    }
    if (transport_ == DialTransport::kWebSocket) {
      scan_.step = ScanStep::kFrame;
      if (is_control) {
        if (opcode == kOpcodeClose) return CometEvent::kClose;
        return opcode == kOpcodePing ? CometEvent::kPing : CometEvent::kNone;
      }
      if ((scan_.frame & kFinal) == 0) {
        if (is_in_cursor) scan_.flags |= kIsInCursor;
        return CometEvent::kNone;
      }
    }
    scan_.flags = 0;
    if ((flags & kIsSubscribed) != 0) return CometEvent::kSubscribed;
    const uint8_t message = kIsMessage | kHasId;
    return (flags & message) == message ? CometEvent::kMessage : CometEvent::kNone;
  }

  DialTransport transport_;
  CometScan& scan_;
  CometInput& input_;
};

}  // namespace

CometEvent read_comet(DialTransport transport, CometScan* scan, CometInput* input) {
  return Reader(transport, scan, input).run();
}

}  // namespace megacomet
