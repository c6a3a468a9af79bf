// Tests of the WebSocket codec: the examples of RFC 6455, every rule with its close code, and any
// split of a stream.
#include "codec/websocket_codec.h"

#include <cstring>
#include <string>
#include <vector>

#include "support/unit.h"

using namespace megacomet;

namespace {

constexpr uint32_t kKey = 0x3d21fa37;  // 37 fa 21 3d, the key of the examples in RFC 6455 5.7.
constexpr uint32_t kMessageMax = 70'000;

std::string bytes_of(std::initializer_list<int> bytes) {
  std::string text;
  for (const int byte : bytes) text.push_back(static_cast<char>(byte));
  return text;
}

uint8_t* writable(std::string* text) {
  return reinterpret_cast<uint8_t*>(text->data());
}

WebSocketRules server_rules() {
  WebSocketRules rules;
  rules.message_bytes_max = kMessageMax;
  return rules;
}

WebSocketRules client_rules() {
  WebSocketRules rules = server_rules();
  rules.is_client = true;
  return rules;
}

WebSocketRules deflate_rules() {
  WebSocketRules rules = server_rules();
  rules.allows_compression = true;
  return rules;
}

/// A masked frame with any first byte.
std::string frame(int first, std::string payload, uint32_t key = kKey) {
  std::string text = bytes_of({first});
  const size_t size = payload.size();
  if (size < 126) {
    text += bytes_of({0x80 | static_cast<int>(size)});
  } else if (size <= 0xffff) {
    text += bytes_of({0xfe, static_cast<int>(size >> 8), static_cast<int>(size & 0xff)});
  } else {
    text += bytes_of({0xff, 0, 0, 0, 0, 0});
    for (const int shift : {16, 8, 0}) text.push_back(static_cast<char>(size >> shift));
  }
  text.append(reinterpret_cast<const char*>(&key), sizeof key);
  for (size_t at = 0; at < size; ++at) payload[at] ^= static_cast<char>(key >> (at % 4 * 8));
  return text + payload;
}

std::string close_frame(int code, const std::string& reason = "") {
  return frame(0x88, bytes_of({code >> 8, code & 0xff}) + reason);
}

/// Records the events of a stream. A message counts when it is complete.
class Recorder final : public WebSocketEvents {
 public:
  bool on_message_part(const WebSocketPart& part) override {
    EXPECT(part.is_first == !is_open_);
    if (part.is_first) message_.clear();
    is_open_ = !part.is_final;
    message_ += part.bytes;
    ++parts;
    if (!part.is_final) return goes_on;
    const bool is_text = part.opcode == WebSocketOpcode::kText;
    log += std::string(is_text ? "text" : "binary") + (part.is_compressed ? "*" : "") + "(" +
           message_ + ") ";
    return goes_on;
  }
  bool on_ping(std::string_view payload) override { return note("ping", payload); }
  bool on_pong(std::string_view payload) override { return note("pong", payload); }
  void on_close(const WebSocketClose& close) override {
    note("close " + std::to_string(close.code), close.reason);
  }
  void on_error(uint16_t code) override { log += "error " + std::to_string(code) + " "; }

  std::string log;
  size_t parts = 0;
  bool goes_on = true;

 private:
  bool note(const std::string& what, std::string_view payload) {
    log += what + "(" + std::string(payload) + ") ";
    return goes_on;
  }

  std::string message_;
  bool is_open_ = false;
};

/// Feeds a stream in parts of `part` bytes, and keeps the rest like a session.
std::string read(const std::string& stream, size_t part, const WebSocketRules& rules) {
  WebSocketMessages messages;
  Recorder recorder;
  std::string rest;
  for (size_t at = 0; at < stream.size(); at += part) {
    // Memory of exact size, so that a sanitizer detects a read past its end.
    const std::string tight = rest + stream.substr(at, part);
    std::vector<uint8_t> bytes(tight.begin(), tight.end());
    const size_t done = messages.feed(rules, bytes.data(), bytes.size(), &recorder);
    rest.assign(bytes.begin() + static_cast<ptrdiff_t>(done), bytes.end());
    EXPECT(rest.size() <= kWebSocketRestBytesMax);
    EXPECT(rest == tight.substr(done));
  }
  if (messages.is_idle() && rest.empty()) recorder.log += "idle";
  if (messages.is_over()) recorder.log += "over";
  return recorder.log;
}

/// The events of the stream, which are the same in all splits; or an error text.
std::string read(const std::string& stream, const WebSocketRules& rules = server_rules()) {
  const std::string whole = read(stream, stream.size() + 1, rules);
  for (const size_t part : {1, 2, 3, 5, 7, 64}) {
    if (stream.size() / part > 20'000) continue;
    const std::string log = read(stream, part, rules);
    if (log != whole) return "in parts of " + std::to_string(part) + ": " + log;
  }
  return whole;
}

bool is_read(const std::string& stream,
             const std::string& wanted,
             const WebSocketRules& rules = server_rules()) {
  const std::string log = read(stream, rules);
  if (log == wanted) return true;
  unit::fail(__FILE__, __LINE__, "found " + log.substr(0, 300));
  return false;
}

/// Whether the stream ends with this code, after the events before it.
bool fails(const std::string& stream,
           int code,
           const std::string& before = "",
           const WebSocketRules& rules = server_rules()) {
  return is_read(stream, before + "error " + std::to_string(code) + " over", rules);
}

/// A random stream of valid frames: fragmented messages with control frames between them.
std::string random_stream() {
  std::string stream;
  for (uint64_t messages = unit::upto(6); messages > 0; --messages) {
    int first = unit::upto(1) == 0 ? 1 : 2;
    const uint64_t longest = unit::upto(3) == 0 ? 300 : 8;
    for (uint64_t fragments = unit::upto(4);; --fragments) {
      if (unit::upto(2) == 0) {
        stream += frame(0x89 + static_cast<int>(unit::upto(1)), std::string(unit::upto(125), 'p'));
      }
      const std::string payload(unit::upto(longest), static_cast<char>('a' + unit::upto(25)));
      const auto key = static_cast<uint32_t>(unit::random()());
      stream += frame(first | (fragments == 0 ? 0x80 : 0), payload, key);
      if (fragments == 0) break;
      first = 0;
    }
  }
  return stream;
}

}  // namespace

TEST("the examples of RFC 6455 5.7 are read as explained there") {
  const WebSocketRules client = client_rules();
  EXPECT(is_read("\x81\x05Hello", "text(Hello) idle", client));
  EXPECT(is_read(bytes_of({0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58}),
                 "text(Hello) idle"));
  EXPECT(is_read(bytes_of({1, 3, 'H', 'e', 'l', 0x80, 2, 'l', 'o'}), "text(Hello) idle", client));
  EXPECT(is_read("\x89\x05Hello", "ping(Hello) idle", client));
  EXPECT(is_read(bytes_of({0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58}),
                 "pong(Hello) idle"));
  const std::string short_one(256, 'b');
  EXPECT(
      is_read(bytes_of({0x82, 0x7e, 1, 0}) + short_one, "binary(" + short_one + ") idle", client));
  const std::string long_one(65'536, 'b');
  EXPECT(is_read(bytes_of({0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0}) + long_one,
                 "binary(" + long_one + ") idle",
                 client));
}

TEST("a stream gives the same events in any split, with control frames between fragments") {
  EXPECT(is_read(frame(0x01, "Hel") + frame(0x89, "?") + frame(0x00, "") + frame(0x80, "lo"),
                 "ping(?) text(Hello) idle"));
  EXPECT(is_read(frame(0x81, "") + frame(0x82, ""), "text() binary() idle"));
  EXPECT(is_read(frame(0x01, "") + frame(0x80, ""), "text() idle"));
  EXPECT(is_read(frame(0x01, "Hel"), ""));
  for (int round = 0; round < 100; ++round) {
    const std::string stream = random_stream();
    const std::string whole = read(stream, stream.size() + 1, server_rules());
    for (size_t part = 1; part <= stream.size(); part += 1 + part / 8) {
      if (!EXPECT(read(stream, part, server_rules()) == whole)) return;
    }
  }
}

TEST("a truncated stream leaves a reader that waits for more") {
  const std::string stream = frame(0x01, "Hel") + frame(0x89, "?") + frame(0x80, "lo");
  for (size_t size = 0; size < stream.size(); ++size) {
    const std::string log = read(stream.substr(0, size), size + 1, server_rules());
    EXPECT(log.find("error") == std::string::npos && log.find("text") == std::string::npos);
    EXPECT((log == "idle") == (size == 0));
  }
}

TEST("an unmasked frame from a client, and a masked one from a server, are 1002") {
  EXPECT(fails("\x81\x05Hello", 1002));
  EXPECT(fails(bytes_of({0x81, 0x00}), 1002));
  EXPECT(fails(frame(0x81, "Hello"), 1002, "", client_rules()));
  // At the first byte that shows it.
  EXPECT(fails(bytes_of({0x81, 0x05}), 1002));
}

TEST("reserved bits and opcodes are 1002, at their first byte") {
  for (const int bits : {0x10, 0x20, 0x30, 0x40, 0x70}) {
    EXPECT(fails(frame(0x81 | bits, "a"), 1002));
    EXPECT(fails(bytes_of({0x81 | bits}), 1002));
  }
  for (const int opcode : {3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf}) {
    EXPECT(fails(frame(0x80 | opcode, "a"), 1002));
    EXPECT(fails(frame(0x81, "a") + bytes_of({0x80 | opcode}), 1002, "text(a) "));
  }
}

TEST("the bit of compression is accepted if agreed, and only on the first frame") {
  const WebSocketRules rules = deflate_rules();
  EXPECT(is_read(frame(0xc1, "\xff") + frame(0x82, "b"), "text*(\xff) binary(b) idle", rules));
  EXPECT(is_read(frame(0x42, "a") + frame(0x80, "b"), "binary*(ab) idle", rules));
  EXPECT(fails(frame(0x42, "a") + frame(0xc0, "b"), 1002, "", rules));
  for (const int opcode : {8, 9, 0xa}) EXPECT(fails(frame(0xc0 | opcode, ""), 1002, "", rules));
  EXPECT(fails(frame(0xa1, "a"), 1002, "", rules));
}

TEST("a long or fragmented control frame is 1002") {
  for (const int opcode : {8, 9, 0xa}) {
    EXPECT(fails(frame(opcode, ""), 1002));
    EXPECT(fails(frame(0x80 | opcode, std::string(126, 'a')), 1002));
    EXPECT(fails(bytes_of({0x80 | opcode, 0xff}), 1002));
  }
  const std::string longest(125, 'a');
  EXPECT(is_read(frame(0x89, longest), "ping(" + longest + ") idle"));
}

TEST("a length in more bytes than it needs, or with its highest bit, is 1002") {
  EXPECT(fails(bytes_of({0x82, 0xfe, 0, 125}), 1002));
  EXPECT(fails(bytes_of({0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff}), 1002));
  EXPECT(fails(bytes_of({0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0}), 1002));
  EXPECT(fails(bytes_of({0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}), 1002));
}

TEST("a message beyond the limit is 1009 at its header, before its payload") {
  const std::string most(kMessageMax, 'a');
  EXPECT(is_read(frame(0x82, most), "binary(" + most + ") idle"));
  EXPECT(fails(frame(0x82, most + "a").substr(0, 14), 1009));
  EXPECT(fails(bytes_of({0x82, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255, 1, 2, 3, 4}), 1009));
  EXPECT(fails(bytes_of({0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4}), 1009));
  EXPECT(fails(frame(0x02, most) + frame(0x80, "a"), 1009));
  EXPECT(fails(frame(0x02, "a") + frame(0x80, most).substr(0, 14), 1009));
  // The limit applies to each message separately.
  EXPECT(is_read(frame(0x82, most) + frame(0x82, "a"), "binary(" + most + ") binary(a) idle"));
}

TEST("a compressed message may exceed the limit by the overhead of deflate") {
  const std::string most(kMessageMax + kMessageMax / 64 + 64, 'a');
  EXPECT(is_read(frame(0xc2, most), "binary*(" + most + ") idle", deflate_rules()));
  EXPECT(fails(frame(0xc2, most + "a"), 1009, "", deflate_rules()));
  WebSocketRules rules = deflate_rules();
  rules.message_bytes_max = UINT32_MAX;
  EXPECT(fails(bytes_of({0xc2, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4}), 1009, "", rules));
}

TEST("a limit that is lowered within a message applies to it") {
  WebSocketMessages messages;
  Recorder recorder;
  WebSocketRules rules = server_rules();
  std::string begin = frame(0x02, "Hello");
  messages.feed(rules, writable(&begin), begin.size(), &recorder);
  rules.message_bytes_max = 4;
  std::string end = frame(0x80, "");
  messages.feed(rules, writable(&end), end.size(), &recorder);
  EXPECT(recorder.log == "error 1009 ");
}

TEST("too many fragments are 1008, even empty ones") {
  WebSocketRules rules = server_rules();
  rules.fragments_max = 5;
  std::string stream = frame(0x02, "");
  for (int count = 1; count < 5; ++count) stream += frame(0x00, "");
  EXPECT(is_read(stream, "", rules));
  EXPECT(fails(stream + frame(0x80, ""), 1008, "", rules));
  EXPECT(is_read(stream.substr(0, stream.size() - 6) + frame(0x80, "a") + frame(0x81, "b"),
                 "binary(a) text(b) idle",
                 rules));
}

TEST("a continuation without a message, and a message within a message, are 1002") {
  EXPECT(fails(frame(0x80, "a"), 1002));
  EXPECT(fails(frame(0x00, "a"), 1002));
  EXPECT(fails(frame(0x81, "a") + frame(0x80, "b"), 1002, "text(a) "));
  EXPECT(fails(frame(0x01, "a") + frame(0x81, "b"), 1002));
  EXPECT(fails(frame(0x02, "a") + frame(0x02, "b"), 1002));
}

TEST("text that is not UTF-8 is 1007 at its first invalid byte, also across frames") {
  const std::string word = "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5";
  EXPECT(is_read(frame(0x81, word), "text(" + word + ") idle"));
  for (size_t cut = 0; cut <= word.size(); ++cut) {
    const std::string stream = frame(0x01, word.substr(0, cut)) + frame(0x80, word.substr(cut));
    EXPECT(is_read(stream, "text(" + word + ") idle"));
  }
  EXPECT(fails(frame(0x81, word + "\xed\xa0\x80"), 1007));
  EXPECT(fails(frame(0x81, "\xf4\x90\x80\x80"), 1007));
  EXPECT(fails(frame(0x81, "\xc0\x80"), 1007));
  EXPECT(fails(frame(0x81, "\xe1\xbd"), 1007));
  EXPECT(fails(frame(0x01, "\xe1") + frame(0x89, "") + frame(0x80, "a"), 1007, "ping() "));
  // The rest of the message need not arrive.
  EXPECT(fails(frame(0x01, "a\xff"), 1007));
  EXPECT(fails(frame(0x81, "a\xff" + std::string(100, 'a')).substr(0, 9), 1007));
  // A message does not affect the next one, and a binary message may have any bytes.
  EXPECT(is_read(frame(0x82, "\xff") + frame(0x81, "a"), "binary(\xff) text(a) idle"));
}

TEST("a close frame ends the stream, and later bytes are dropped") {
  EXPECT(is_read(frame(0x88, ""), "close 1005() over"));
  EXPECT(is_read(close_frame(1000, "bye") + frame(0x81, "a"), "close 1000(bye) over"));
  EXPECT(is_read(frame(0x01, "a") + close_frame(1001), "close 1001() over"));
  EXPECT(is_read(frame(0x88, "") + "\xff\xff\xff", "close 1005() over"));
  EXPECT(fails(frame(0x83, "") + frame(0x81, "a"), 1002));
}

TEST("a close frame with half a code, a forbidden code, or invalid UTF-8 is rejected") {
  EXPECT(fails(frame(0x88, "\x03"), 1002));
  EXPECT(fails(frame(0x88, "\x10"), 1002));
  for (int code = 0; code <= 0xffff; ++code) {
    const bool is_right = (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
                          (code >= 3000 && code <= 4999);
    WebSocketClose close{};
    const std::string payload = bytes_of({code >> 8, code & 0xff}) + "x";
    if (!EXPECT_EQUAL(parse_websocket_close(payload, &close), is_right ? 0 : 1002)) return;
    if (!EXPECT_EQUAL(close.code, is_right ? code : 1005)) return;
  }
  for (const int code : {0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65'535}) {
    EXPECT(fails(close_frame(code), 1002));
  }
  EXPECT(fails(close_frame(1000, "\xff"), 1007));
  EXPECT(fails(close_frame(1000, "\xe1\xbd"), 1007));
  const std::string longest(123, 'a');
  EXPECT(is_read(close_frame(4999, longest), "close 4999(" + longest + ") over"));
}

TEST("a close body is read as it was written, and truncated between characters") {
  uint8_t body[kWebSocketControlBytesMax];
  EXPECT_EQUAL(encode_websocket_close({close_code::kNone, "lost"}, body), 0U);
  EXPECT_EQUAL(encode_websocket_close({1001, {}}, body), 2U);
  for (size_t letters = 110; letters < 130; ++letters) {
    // Characters of two, three and four bytes across the limit.
    for (const std::string last : {"a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"}) {
      const std::string reason = std::string(letters, 'a') + last + last;
      const size_t size = encode_websocket_close({1008, reason}, body);
      const std::string_view payload(reinterpret_cast<const char*>(body), size);
      WebSocketClose close{};
      EXPECT_EQUAL(parse_websocket_close(payload, &close), 0);
      EXPECT_EQUAL(close.code, 1008);
      EXPECT(reason.compare(0, close.reason.size(), close.reason) == 0);
      EXPECT(close.reason.size() == reason.size() || close.reason.size() > 123 - last.size());
    }
  }
  EXPECT(unit::aborts([&] { (void)encode_websocket_close({1006, {}}, body); }));
}

TEST("masking in words equals masking byte by byte, in any parts and alignment") {
  for (size_t offset = 0; offset < 9; ++offset) {
    for (size_t size = 0; size < 40; ++size) {
      std::vector<uint8_t> bytes(offset + size);
      for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(unit::upto(255));
      const std::vector<uint8_t> before = bytes;
      const auto key = static_cast<uint32_t>(unit::random()());
      const size_t cut = unit::upto(size);
      const uint32_t turned = mask_websocket(bytes.data() + offset, cut, key);
      mask_websocket(bytes.data() + offset + cut, size - cut, turned);
      for (size_t at = 0; at < size; ++at) {
        const auto wanted = static_cast<uint8_t>(before[offset + at] ^ key >> (at % 4 * 8));
        if (!EXPECT_EQUAL(bytes[offset + at], wanted)) return;
      }
    }
  }
}

TEST("a header has the shortest encoding, is read as written, and waits for all bytes") {
  for (const uint64_t length : {uint64_t{0},
                                uint64_t{125},
                                uint64_t{126},
                                uint64_t{65'535},
                                uint64_t{65'536},
                                uint64_t{INT64_MAX}}) {
    for (const bool is_masked : {false, true}) {
      WebSocketHeader sent;
      sent.opcode = WebSocketOpcode::kText;
      sent.is_final = unit::upto(1) == 0;
      sent.is_compressed = unit::upto(1) == 0;
      sent.is_masked = is_masked;
      sent.mask = is_masked ? kKey : 0;
      sent.payload_bytes = length;
      uint8_t bytes[kWebSocketHeaderBytesMax];
      const size_t size = encode_websocket_header(sent, bytes);
      WebSocketRules rules = is_masked ? deflate_rules() : client_rules();
      rules.allows_compression = true;
      WebSocketHeader read;
      for (size_t part = 0; part < size; ++part) {
        const std::vector<uint8_t> tight(bytes, bytes + part);
        EXPECT(decode_websocket_header(tight.data(), part, rules, &read) ==
               WebSocketHeaderStatus::kIncomplete);
      }
      EXPECT(decode_websocket_header(bytes, size, rules, &read) == WebSocketHeaderStatus::kWhole);
      EXPECT_EQUAL(read.header_bytes, size);
      EXPECT_EQUAL(read.payload_bytes, length);
      EXPECT_EQUAL(read.mask, sent.mask);
      EXPECT(read.opcode == sent.opcode && read.is_final == sent.is_final &&
             read.is_compressed == sent.is_compressed && read.is_masked == sent.is_masked);
    }
  }
}

TEST("encoding aborts on a control frame that is long or not final") {
  uint8_t bytes[kWebSocketHeaderBytesMax];
  WebSocketHeader header;
  header.opcode = WebSocketOpcode::kPing;
  header.payload_bytes = 126;
  EXPECT(unit::aborts([&] { (void)encode_websocket_header(header, bytes); }));
  header.payload_bytes = 1;
  header.is_final = false;
  EXPECT(unit::aborts([&] { (void)encode_websocket_header(header, bytes); }));
}

TEST("no callback follows one that returns false") {
  const std::string stream = frame(0x81, "a") + frame(0x89, "b") + frame(0x81, "c");
  Recorder recorder;
  recorder.goes_on = false;
  std::string bytes = stream;
  WebSocketMessages messages;
  EXPECT_EQUAL(messages.feed(server_rules(), writable(&bytes), bytes.size(), &recorder),
               bytes.size());
  EXPECT(recorder.log == "text(a) ");
  for (const int opcode : {9, 0xa}) {
    Recorder other;
    other.goes_on = false;
    bytes = frame(0x80 | opcode, "b") + stream;
    messages.feed(server_rules(), writable(&bytes), bytes.size(), &other);
    EXPECT(other.log == (opcode == 9 ? "ping(b) " : "pong(b) "));
  }
}

TEST("a message of one read is one part, in place") {
  std::string bytes = frame(0x81, "Hello") + frame(0x82, "World");
  Recorder recorder;
  WebSocketMessages messages;
  messages.feed(server_rules(), writable(&bytes), bytes.size(), &recorder);
  EXPECT_EQUAL(recorder.parts, 2U);
  EXPECT(bytes.substr(6, 5) == "Hello");
  // An empty frame is not a part, unless it ends the message.
  bytes = frame(0x01, "") + frame(0x00, "a") + frame(0x00, "") + frame(0x80, "");
  messages.feed(server_rules(), writable(&bytes), bytes.size(), &recorder);
  EXPECT_EQUAL(recorder.parts, 4U);
}
