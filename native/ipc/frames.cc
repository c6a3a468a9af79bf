// Encoding and decoding of control frames. See frames.h.
#include "ipc/frames.h"

#include <cstring>

#include "base/check.h"

namespace megacomet {

namespace {

constexpr size_t kLengthBytes = 4;

/// Walks a body and remembers whether it ever ran short.
class Cursor {
 public:
  Cursor(const uint8_t* bytes, size_t size) : bytes_(bytes), left_(size) {}

  void read(uint8_t* out) { read_integer(out); }
  void read(uint32_t* out) { read_integer(out); }
  void read(uint64_t* out) { read_integer(out); }

  void read(Text* out) {
    uint16_t size = 0;
    read_integer(&size);
    const uint8_t* bytes = take(size);
    if (bytes != nullptr) out->assign(reinterpret_cast<const char*>(bytes), size);
  }

  void read(Blob* out) {
    uint32_t size = 0;
    read_integer(&size);
    const uint8_t* bytes = take(size);
    if (bytes != nullptr) out->bytes.assign(reinterpret_cast<const char*>(bytes), size);
  }

  void read(Numbers* out) {
    uint32_t count = 0;
    read_integer(&count);
    // Checked before anything is allocated: a count from the wire is only a claim.
    if (count > left_ / sizeof(uint64_t)) is_valid_ = false;
    if (!is_valid_) return;
    out->resize(count);
    for (uint64_t& number : *out) read_integer(&number);
  }

  void read(Texts* out) {
    uint16_t count = 0;
    read_integer(&count);
    if (count > left_ / sizeof(uint16_t)) is_valid_ = false;
    if (!is_valid_) return;
    out->resize(count);
    for (Text& text : *out) read(&text);
  }

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

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "integers go out as they lie in memory");

template <typename Integer>
void put_integer(std::vector<uint8_t>* out, Integer value) {
  const size_t at = out->size();
  out->resize(at + sizeof(Integer));
  std::memcpy(out->data() + at, &value, sizeof(Integer));
}

void put(std::vector<uint8_t>* out, uint8_t value) {
  put_integer(out, value);
}
void put(std::vector<uint8_t>* out, uint32_t value) {
  put_integer(out, value);
}
void put(std::vector<uint8_t>* out, uint64_t value) {
  put_integer(out, value);
}

void put(std::vector<uint8_t>* out, const Text& text) {
  MC_CHECK(text.size() <= UINT16_MAX);
  put_integer(out, static_cast<uint16_t>(text.size()));
  out->insert(out->end(), text.begin(), text.end());
}

void put(std::vector<uint8_t>* out, const Blob& blob) {
  MC_CHECK(blob.bytes.size() <= bounds::kFrameBytesMax);
  put_integer(out, static_cast<uint32_t>(blob.bytes.size()));
  out->insert(out->end(), blob.bytes.begin(), blob.bytes.end());
}

void put(std::vector<uint8_t>* out, const Numbers& numbers) {
  put_integer(out, static_cast<uint32_t>(numbers.size()));
  for (const uint64_t number : numbers) put_integer(out, number);
}

void put(std::vector<uint8_t>* out, const Texts& texts) {
  MC_CHECK(texts.size() <= UINT16_MAX);
  put_integer(out, static_cast<uint16_t>(texts.size()));
  for (const Text& text : texts) put(out, text);
}

}  // namespace

#define MC_READ(type, name) cursor.read(&out->name);
#define X(identifier, number, name, fields)              \
  bool decode(const FrameView& view, frame::name* out) { \
    Cursor cursor(view.body, view.size);                 \
    fields(MC_READ) return cursor.is_complete();         \
  }
MC_FRAMES(X)
#undef X

#define MC_PUT(type, name) put(out, in.name);
#define X(identifier, number, name, fields)                                                       \
  void encode(const frame::name& in, std::vector<uint8_t>* out) {                                 \
    const size_t start = out->size();                                                             \
    put_integer(out, uint32_t{0});                                                                \
    put_integer(out, static_cast<uint8_t>(number));                                               \
    fields(MC_PUT) const auto length = static_cast<uint32_t>(out->size() - start - kLengthBytes); \
    MC_CHECK(length <= bounds::kFrameBytesMax);                                                   \
    std::memcpy(out->data() + start, &length, sizeof length);                                     \
  }
MC_FRAMES(X)
#undef X

std::vector<FrameInfo> frame_infos() {
  std::vector<FrameInfo> infos;
#define MC_INFO(type, name) {#type, #name},
#define X(identifier, number, name, fields) infos.push_back({number, #name, {fields(MC_INFO)}});
  MC_FRAMES(X)
#undef X
  return infos;
}

void FrameReader::feed(const uint8_t* bytes, size_t size) {
  pending_.erase(pending_.begin(), pending_.begin() + static_cast<ptrdiff_t>(consumed_));
  consumed_ = 0;
  pending_.insert(pending_.end(), bytes, bytes + size);
}

bool FrameReader::next(FrameView* view) {
  if (is_broken_) return false;
  const size_t left = pending_.size() - consumed_;
  if (left < kLengthBytes) return false;
  uint32_t length = 0;
  std::memcpy(&length, pending_.data() + consumed_, sizeof length);
  if (length == 0 || length > bounds::kFrameBytesMax) {
    is_broken_ = true;
    return false;
  }
  if (left < kLengthBytes + length) return false;
  const uint8_t* frame = pending_.data() + consumed_ + kLengthBytes;
  *view = FrameView{frame[0], frame + 1, length - 1};
  consumed_ += kLengthBytes + length;
  return true;
}

}  // namespace megacomet
