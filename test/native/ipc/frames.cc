// Tests of the frame codec: round trips, any split of the stream, and invalid bytes.
#include "ipc/frames.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>

#include "ipc/load_frames.h"
#include "support/unit.h"

using namespace megacomet;

namespace {

using Bytes = std::vector<uint8_t>;

void randomize(uint8_t* out) {
  *out = static_cast<uint8_t>(unit::random()());
}
void randomize(uint32_t* out) {
  *out = static_cast<uint32_t>(unit::random()());
}
void randomize(uint64_t* out) {
  *out = unit::random()();
}
void randomize(Text* out) {
  out->resize(unit::upto(40));
  for (char& character : *out) character = static_cast<char>(unit::upto(255));
}
void randomize(Blob* out) {
  out->bytes.resize(unit::upto(200));
  for (char& byte : out->bytes) byte = static_cast<char>(unit::upto(255));
}
void randomize(Numbers* out) {
  out->resize(unit::upto(20));
  for (uint64_t& number : *out) randomize(&number);
}
void randomize(Texts* out) {
  out->resize(unit::upto(5));
  for (Text& text : *out) randomize(&text);
}

/// An encoded frame as a reader returns it.
FrameView view_of(const Bytes& bytes) {
  return {bytes[4], bytes.data() + 5, bytes.size() - 5};
}

Bytes copy_of(const FrameView& view) {
  Bytes bytes{view.type};
  bytes.insert(bytes.end(), view.body, view.body + view.size);
  return bytes;
}

#define RANDOMIZE(type, name) randomize(&value.name);
#define SAME(type, name) &&one.name == other.name
#define X(identifier, number, name, fields)                        \
  void random_frame(frame::name* out) {                            \
    frame::name& value = *out;                                     \
    fields(RANDOMIZE)                                              \
  }                                                                \
  bool is_same(const frame::name& one, const frame::name& other) { \
    return true fields(SAME);                                      \
  }
MC_FRAMES(X)
MC_LOAD_FRAMES(X)
#undef X

template <typename Frame>
bool round_trips() {
  Frame sent;
  random_frame(&sent);
  Bytes bytes;
  encode(sent, &bytes);
  uint32_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  Frame received;
  const bool is_read = decode(view_of(bytes), &received);
  return is_read && is_same(sent, received) && length == bytes.size() - 4 &&
         bytes[4] == static_cast<uint8_t>(Frame::kType);
}

/// Whether decode() rejects every truncated body, and one with an extra byte.
template <typename Frame>
bool rejects_wrong_lengths() {
  Frame sent;
  random_frame(&sent);
  Bytes bytes;
  encode(sent, &bytes);
  Frame received;
  bytes.push_back(0);
  if (decode(view_of(bytes), &received)) return false;
  for (bytes.pop_back(); bytes.size() > 5;) {
    bytes.pop_back();
    // A buffer of exact size, so that a sanitizer detects a read past its end.
    const Bytes tight(bytes.begin() + 5, bytes.end());
    if (decode({bytes[4], tight.data(), tight.size()}, &received)) return false;
  }
  return true;
}

template <typename Frame>
void append_random(Bytes* stream) {
  Frame value;
  random_frame(&value);
  encode(value, stream);
}

void append_random_frame(Bytes* stream) {
  switch (unit::upto(3)) {
    case 0:
      return append_random<frame::Configure>(stream);
    case 1:
      return append_random<frame::Dial>(stream);
    case 2:
      return append_random<frame::Latency>(stream);
    default:
      return append_random<frame::Watch>(stream);
  }
}

/// All frames of a stream that arrives in parts of at most `part_max` bytes.
std::vector<Bytes> frames_of(const Bytes& stream, size_t part_max) {
  std::vector<Bytes> frames;
  FrameReader reader;
  FrameView view{};
  for (size_t at = 0; at < stream.size();) {
    const size_t size = std::min(stream.size() - at, 1 + unit::upto(part_max - 1));
    reader.feed(stream.data() + at, size);
    at += size;
    // Sometimes frames stay in the reader until the next part.
    if (unit::upto(3) == 0) continue;
    while (reader.next(&view)) frames.push_back(copy_of(view));
  }
  while (reader.next(&view)) frames.push_back(copy_of(view));
  return frames;
}

void feed_length(FrameReader* reader, uint32_t length) {
  uint8_t bytes[4];
  std::memcpy(bytes, &length, sizeof bytes);
  reader->feed(bytes, sizeof bytes);
}

}  // namespace

TEST("every frame is decoded as it was encoded") {
  for (int count = 0; count < 2000; ++count) {
#define X(identifier, number, name, fields) \
  if (!EXPECT(round_trips<frame::name>())) return;
    MC_FRAMES(X)
    MC_LOAD_FRAMES(X)
#undef X
  }
}

TEST("every frame with missing or extra bytes is rejected") {
  for (int count = 0; count < 20; ++count) {
#define X(identifier, number, name, fields) \
  if (!EXPECT(rejects_wrong_lengths<frame::name>())) return;
    MC_FRAMES(X)
    MC_LOAD_FRAMES(X)
#undef X
  }
}

TEST("a stream gives the same frames however it is split") {
  for (int round = 0; round < 100; ++round) {
    Bytes stream;
    for (int count = 0; count < 30; ++count) append_random_frame(&stream);
    const std::vector<Bytes> whole = frames_of(stream, stream.size());
    EXPECT_EQUAL(whole.size(), 30U);
    for (const size_t part_max : {size_t{1}, size_t{3}, size_t{17}, size_t{400}}) {
      if (!EXPECT(frames_of(stream, part_max) == whole)) return;
    }
  }
}

TEST("random bytes never crash the reader or a decoder") {
  for (int round = 0; round < 20'000; ++round) {
    Bytes noise(unit::upto(64));
    // Often small bytes, so that many lengths and counts are plausible.
    for (uint8_t& byte : noise) byte = static_cast<uint8_t>(unit::upto(255) >> unit::upto(8));
    FrameReader reader;
    reader.feed(noise.data(), noise.size());
    FrameView view{};
    while (reader.next(&view)) {
      const Bytes tight(view.body, view.body + view.size);
      const FrameView copy{view.type, tight.data(), tight.size()};
#define X(identifier, number, name, fields) \
  {                                         \
    frame::name value;                      \
    (void)decode(copy, &value);             \
  }
      MC_FRAMES(X)
      MC_LOAD_FRAMES(X)
#undef X
    }
  }
}

TEST("a reader that was sent a length of zero or beyond the limit reads nothing more") {
  for (const size_t length : {size_t{0}, bounds::kFrameBytesMax + 1, size_t{UINT32_MAX}}) {
    FrameReader reader;
    FrameView view{};
    Bytes before;
    encode(frame::Goodbye{7}, &before);
    reader.feed(before.data(), before.size());
    feed_length(&reader, static_cast<uint32_t>(length));
    EXPECT(reader.next(&view));
    EXPECT(!reader.next(&view));
    EXPECT(reader.is_broken());
    reader.feed(before.data(), before.size());
    EXPECT(!reader.next(&view));
  }
}

TEST("frames that were read are overwritten, and the rest of the stream stays") {
  std::vector<uint8_t> stream;
  encode(frame::Log{1, "a secret", 0, 0}, &stream);
  const size_t first_bytes = stream.size();
  encode(frame::Log{1, "the rest", 0, 0}, &stream);
  FrameReader reader;
  reader.feed(stream.data(), stream.size() - 1);
  FrameView view{};
  EXPECT(reader.next(&view) && !reader.next(&view));
  const uint8_t* start = view.body - 5;
  reader.erase_consumed();
  // The rest has moved to the front.
  const std::string_view memory(reinterpret_cast<const char*>(start), stream.size() - 1);
  EXPECT(memory.find("a secret") == std::string_view::npos);
  EXPECT(memory.find_first_not_of('\0', stream.size() - 1 - first_bytes) == std::string_view::npos);
  reader.feed(&stream.back(), 1);
  frame::Log line;
  EXPECT(reader.next(&view) && decode(view, &line));
  EXPECT(line.message == "the rest");
}

TEST("a reader waits for the rest of a frame of the greatest length") {
  FrameReader reader;
  FrameView view{};
  feed_length(&reader, bounds::kFrameBytesMax);
  const Bytes part(bounds::kFrameBytesMax - 1, 9);
  reader.feed(part.data(), part.size());
  EXPECT(!reader.next(&view));
  EXPECT(!reader.is_broken());
  reader.feed(part.data(), 1);
  EXPECT(reader.next(&view));
  EXPECT_EQUAL(view.size, bounds::kFrameBytesMax - 1);
}

TEST("a count that exceeds the body is rejected before memory is allocated") {
  const Bytes many_numbers = {0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3};
  frame::Failures failures;
  EXPECT(!decode({49, many_numbers.data() + 8, many_numbers.size() - 8}, &failures));
  EXPECT_EQUAL(failures.counts.capacity(), 0U);
  const Bytes long_text = {0, 0xff, 0xff, 'a', 0, 0, 0, 0, 0, 0, 0, 0};
  frame::Log log;
  EXPECT(!decode({17, long_text.data(), long_text.size()}, &log));
  Bytes many_texts(16, 0);
  many_texts.push_back(0xff);
  many_texts.push_back(0xff);
  frame::Dial dial;
  EXPECT(!decode({32, many_texts.data(), many_texts.size()}, &dial));
  EXPECT_EQUAL(dial.targets.capacity(), 0U);
}

TEST("no two frames of the two lists have the same type") {
  std::vector<int> types;
#define X(identifier, number, name, fields) types.push_back(frame::name::kType);
  MC_FRAMES(X)
  MC_LOAD_FRAMES(X)
#undef X
  std::sort(types.begin(), types.end());
  EXPECT(std::adjacent_find(types.begin(), types.end()) == types.end());
}

TEST("a fingerprint is FNV-1a of the text, and differs between the lists") {
  EXPECT_EQUAL(frames_fingerprint(""), 0x811c9dc5U);
  EXPECT_EQUAL(frames_fingerprint("foobar"), 0xbf9cf968U);
  EXPECT(frames_fingerprint(kFramesText) != frames_fingerprint(kLoadFramesText));
  EXPECT(std::string(kFramesText).find("3 Watch u32 listener u8 on\n") != std::string::npos);
}

TEST(
    "encoding aborts on a text that is too long for its length field, and on a frame beyond the "
    "limit") {
  frame::Log log;
  log.message.assign(65'536, 'a');
  frame::Failures failures;
  failures.counts.assign(bounds::kFrameBytesMax / 8, 0);
  Bytes bytes;
  EXPECT(unit::aborts([&] { encode(log, &bytes); }));
  EXPECT(unit::aborts([&] { encode(failures, &bytes); }));
}
