// Fuzz target for the control stream as a worker reads it: frames of every type with fields as the
// input says are decoded in order and field by field, however the stream is cut; and a stream with
// changed bytes gives the same frames in any cuts, and none after it is broken.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <utility>
#include <vector>

#include "base/check.h"
#include "decoding.h"
#include "ipc/frames.h"
#include "ipc/load_frames.h"

using namespace megacomet;

namespace {

/// The input as numbers and bytes; zeros once it is used up.
class Source {
 public:
  Source(const uint8_t* bytes, size_t size) : bytes_(bytes), left_(size) {}
  [[nodiscard]] bool is_empty() const { return left_ == 0; }

  template <typename Integer>
  Integer integer() {
    Integer value = 0;
    const size_t size = std::min(left_, sizeof value);
    if (size > 0) std::memcpy(&value, bytes_, size);
    skip(size);
    return value;
  }

  void fill(uint8_t* out) { *out = integer<uint8_t>(); }
  void fill(uint32_t* out) { *out = integer<uint32_t>(); }
  void fill(uint64_t* out) { *out = integer<uint64_t>(); }
  void fill(Text* out) {
    const size_t size = length();
    out->assign(reinterpret_cast<const char*>(bytes_), size);
    skip(size);
  }
  void fill(Blob* out) {
    const size_t size = length();
    out->bytes.assign(reinterpret_cast<const char*>(bytes_), size);
    skip(size);
  }
  void fill(Numbers* out) {
    out->resize(integer<uint8_t>() % 8);
    for (uint64_t& number : *out) fill(&number);
  }
  void fill(Texts* out) {
    out->resize(integer<uint8_t>() % 8);
    for (Text& text : *out) fill(&text);
  }

 private:
  size_t length() { return std::min(left_, size_t{integer<uint8_t>()}); }
  void skip(size_t size) {
    bytes_ += size;
    left_ -= size;
  }

  const uint8_t* bytes_;
  size_t left_;
};

struct Received {
  uint8_t type;
  std::vector<uint8_t> body;
  bool operator==(const Received& other) const { return type == other.type && body == other.body; }
};

/// A frame with fields of the input goes onto the stream, and must be read back as it is.
template <typename Frame>
void put_frame(const Frame& in, std::vector<uint8_t>* stream, std::vector<Received>* expected) {
  const size_t start = stream->size();
  encode(in, stream);
  const uint8_t* frame = stream->data() + start;
  const uint8_t* end = stream->data() + stream->size();
  MC_CHECK(frame[4] == static_cast<uint8_t>(Frame::kType));
  expected->push_back({frame[4], {frame + 5, end}});
}

#define MC_FILL(type, name) source->fill(&in.name);
#define MC_SAME(type, name) MC_CHECK(in.name == out.name);
#define X(identifier, number, name, fields)                                            \
  void make_##name(                                                                    \
      Source* source, std::vector<uint8_t>* stream, std::vector<Received>* expected) { \
    frame::name in;                                                                    \
    fields(MC_FILL) put_frame(in, stream, expected);                                   \
    const Received& last = expected->back();                                           \
    frame::name out;                                                                   \
    MC_CHECK(decode(FrameView{last.type, last.body.data(), last.body.size()}, &out));  \
    fields(MC_SAME)                                                                    \
  }
MC_FRAMES(X)
MC_LOAD_FRAMES(X)
#undef X

using Maker = void (*)(Source*, std::vector<uint8_t>*, std::vector<Received>*);
#define X(identifier, number, name, fields) make_##name,
constexpr Maker kMakers[] = {MC_FRAMES(X) MC_LOAD_FRAMES(X)};
#undef X

struct Reading {
  std::vector<Received> frames;
  bool is_broken = false;
};

/// Feeds the stream in the cuts that `state` leads to; 0 is in one part.
Reading read_stream(const std::vector<uint8_t>& stream, uint32_t state) {
  FrameReader reader;
  Reading reading;
  const bool is_cut = state != 0;
  size_t at = 0;
  while (at < stream.size()) {
    size_t size = stream.size() - at;
    if (is_cut) {
      // Numerical Recipes' generator: the cuts need be different, not good.
      state = state * 1664525 + 1013904223;
      size = std::min(size, size_t{state >> 16U} % ((state & 0x8000) != 0 ? 8 : 300));
    }
    // A copy of exact size, so that a read past the end is seen.
    const std::vector<uint8_t> part(stream.data() + at, stream.data() + at + size);
    reader.feed(part.data(), part.size());
    at += size;
    FrameView view{};
    while (reader.next(&view)) {
      MC_CHECK(!reading.is_broken);
      const std::vector<uint8_t> body(view.body, view.body + view.size);
      fuzz::check_frame(FrameView{view.type, body.data(), body.size()});
      reading.frames.push_back({view.type, body});
    }
    reading.is_broken = reader.is_broken();
  }
  return reading;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Source source(data, size);
  const uint32_t cuts = source.integer<uint16_t>() | 1U;
  const uint8_t changes = source.integer<uint8_t>() % 4;
  uint32_t places[4] = {};
  for (uint32_t& place : places) place = source.integer<uint32_t>();
  std::vector<uint8_t> stream;
  std::vector<Received> expected;
  while (!source.is_empty()) {
    kMakers[source.integer<uint8_t>() % std::size(kMakers)](&source, &stream, &expected);
  }
  const Reading whole = read_stream(stream, cuts);
  MC_CHECK(!whole.is_broken && whole.frames == expected);
  if (stream.empty()) return 0;
  for (uint8_t change = 0; change < changes; ++change) {
    stream[(places[change] >> 8U) % stream.size()] = static_cast<uint8_t>(places[change]);
  }
  const Reading at_once = read_stream(stream, 0);
  const Reading in_cuts = read_stream(stream, cuts);
  MC_CHECK(at_once.is_broken == in_cuts.is_broken && at_once.frames == in_cuts.frames);
  return 0;
}
