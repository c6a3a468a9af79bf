// The codec of control frames: field types, decoding, encoding, cutting a stream into frames.
// A frame is u32 length, u8 type, body; the length counts type and body. Integers are
// little-endian. The frames themselves are listed in frames.h and load_frames.h. No I/O.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "base/bounds.h"
#include "base/erase.h"

namespace megacomet {

// Field types: u8, u32, u64, text (u16 length, bytes), blob (u32 length, bytes), numbers (u32
// count, u64 each), texts (u16 count, text each).

using Text = std::string;
/// Bytes of any length that a frame can have. A string, so that received bytes become a message's
/// data without a copy.
struct Blob {
  std::string bytes;
  bool operator==(const Blob& other) const { return bytes == other.bytes; }
};
using Numbers = std::vector<uint64_t>;
using Texts = std::vector<std::string>;

/// One received frame. `body` is valid until the reader is fed again.
struct FrameView {
  uint8_t type;
  const uint8_t* body;
  size_t size;
};

/// Reads the fields of a body, and remembers whether one did not fit into it.
class BodyReader {
 public:
  BodyReader(const uint8_t* bytes, size_t size) : bytes_(bytes), left_(size) {}

  void operator()(uint8_t& field) { read_integer(&field); }
  void operator()(uint32_t& field) { read_integer(&field); }
  void operator()(uint64_t& field) { read_integer(&field); }
  void operator()(Text& field);
  void operator()(Blob& field);
  void operator()(Numbers& field);
  void operator()(Texts& field);

  /// Whether the body was exactly the fields that were read. The one rule about extra bytes.
  [[nodiscard]] bool is_complete() const { return is_valid_ && left_ == 0; }

 private:
  const uint8_t* take(size_t size) {
    if (!is_valid_ || size > left_) {
      is_valid_ = false;
      return nullptr;
    }
    const uint8_t* start = bytes_;
    bytes_ += size;
    left_ -= size;
    return start;
  }

  template <typename Integer>
  void read_integer(Integer* out) {
    const uint8_t* bytes = take(sizeof(Integer));
    if (bytes != nullptr) std::memcpy(out, bytes, sizeof(Integer));
  }

  const uint8_t* bytes_;
  size_t left_;
  bool is_valid_ = true;
};

/// Appends one frame to `out`: its head in the constructor, then its fields, then finish().
class FrameWriter {
 public:
  FrameWriter(uint8_t type, std::vector<uint8_t>* out);

  void operator()(uint8_t field) { put_integer(field); }
  void operator()(uint32_t field) { put_integer(field); }
  void operator()(uint64_t field) { put_integer(field); }
  void operator()(const Text& field);
  void operator()(const Blob& field);
  void operator()(const Numbers& field);
  void operator()(const Texts& field);

  /// Writes the length. Aborts if the frame is longer than kFrameBytesMax.
  void finish();

 private:
  template <typename Integer>
  void put_integer(Integer value) {
    const size_t at = out_->size();
    out_->resize(at + sizeof(Integer));
    std::memcpy(out_->data() + at, &value, sizeof(Integer));
  }

  std::vector<uint8_t>* out_;
  size_t start_;
};

/// Reads the fields of a body. False if bytes are missing or left over, or if a count is larger
/// than the body can hold.
template <typename Frame>
[[nodiscard]] bool decode(const FrameView& view, Frame* out) {
  BodyReader reader(view.body, view.size);
  Frame::visit_fields(*out, reader);
  return reader.is_complete();
}

/// Appends a whole frame to `out`.
template <typename Frame>
void encode(const Frame& in, std::vector<uint8_t>* out) {
  FrameWriter writer(Frame::kType, out);
  Frame::visit_fields(in, writer);
  writer.finish();
}

/// Cuts a stream of bytes into frames.
class FrameReader {
 public:
  /// Takes bytes in. Whole frames can then be had from next().
  void feed(const uint8_t* bytes, size_t size);

  /// The next whole frame. False while the next frame is incomplete, and for a broken stream.
  [[nodiscard]] bool next(FrameView* view);

  /// Overwrites the frames that next() has returned: private keys and tokens are among them.
  void erase_consumed();

  /// True after a length of 0 or above kFrameBytesMax: no later byte can be trusted.
  [[nodiscard]] bool is_broken() const { return is_broken_; }

 private:
  std::vector<uint8_t, ErasingAllocator<uint8_t>> pending_;
  size_t consumed_ = 0;
  bool is_broken_ = false;
};

/// FNV-1a of a list of frames as text (see MC_FRAME_TEXT): the other end's codec was generated from
/// the same list if its fingerprint is equal.
uint32_t frames_fingerprint(const char* text);

}  // namespace megacomet

// A list of frames is a macro with a row X(identifier, number, name, fields) for each frame, where
// `fields` is a macro with a row F(type, name) for each field. The macros below are for such lists.

// The names of field types are those of the lists. NOLINTBEGIN(readability-identifier-naming)
#define MC_TYPE_u8 uint8_t
#define MC_TYPE_u32 uint32_t
#define MC_TYPE_u64 uint64_t
#define MC_TYPE_text Text
#define MC_TYPE_numbers Numbers
#define MC_TYPE_texts Texts
#define MC_TYPE_blob Blob
// NOLINTEND(readability-identifier-naming)

#define MC_FIELD(type, name) MC_TYPE_##type name{};
#define MC_VISIT_FIELD(type, name) visit(self.name);

/// The struct of a frame: its fields, and a visitor of them in the order of the wire.
#define MC_FRAME_STRUCT(identifier, number, name, fields)     \
  struct name {                                               \
    static constexpr uint8_t kType = number;                  \
    fields(MC_FIELD) template <typename Self, typename Visit> \
    static void visit_fields(Self& self, Visit& visit) {      \
      fields(MC_VISIT_FIELD)                                  \
    }                                                         \
  };

/// The entry of a frame in an enumeration of types.
#define MC_FRAME_TYPE(identifier, number, name, fields) identifier = number,

#define MC_FIELD_TEXT(type, name) " " #type " " #name
/// A frame as one line of text.
#define MC_FRAME_TEXT(identifier, number, name, fields) #number " " #name fields(MC_FIELD_TEXT) "\n"
