// Encoding, decoding and cutting of control frames. See frame_codec.h.
#include "ipc/frame_codec.h"

#include "base/check.h"

namespace megacomet {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "integers are copied as they are");

namespace {

constexpr size_t kLengthBytes = 4;

}  // namespace

void BodyReader::operator()(Text& field) {
  uint16_t size = 0;
  read_integer(&size);
  const uint8_t* bytes = take(size);
  if (bytes != nullptr) field.assign(reinterpret_cast<const char*>(bytes), size);
}

void BodyReader::operator()(Blob& field) {
  uint32_t size = 0;
  read_integer(&size);
  const uint8_t* bytes = take(size);
  if (bytes != nullptr) field.bytes.assign(reinterpret_cast<const char*>(bytes), size);
}

void BodyReader::operator()(Numbers& field) {
  uint32_t count = 0;
  read_integer(&count);
  // Checked before memory is allocated: a count from the wire is only a claim.
  if (count > left_ / sizeof(uint64_t)) is_valid_ = false;
  if (!is_valid_) return;
  field.resize(count);
  for (uint64_t& number : field) read_integer(&number);
}

void BodyReader::operator()(Texts& field) {
  uint16_t count = 0;
  read_integer(&count);
  if (count > left_ / sizeof(uint16_t)) is_valid_ = false;
  if (!is_valid_) return;
  field.resize(count);
  for (Text& text : field) (*this)(text);
}

FrameWriter::FrameWriter(uint8_t type, std::vector<uint8_t>* out) : out_(out), start_(out->size()) {
  put_integer(uint32_t{0});
  put_integer(type);
}

void FrameWriter::operator()(const Text& field) {
  MC_CHECK(field.size() <= UINT16_MAX);
  put_integer(static_cast<uint16_t>(field.size()));
  out_->insert(out_->end(), field.begin(), field.end());
}

void FrameWriter::operator()(const Blob& field) {
  MC_CHECK(field.bytes.size() <= bounds::kFrameBytesMax);
  put_integer(static_cast<uint32_t>(field.bytes.size()));
  out_->insert(out_->end(), field.bytes.begin(), field.bytes.end());
}

void FrameWriter::operator()(const Numbers& field) {
  put_integer(static_cast<uint32_t>(field.size()));
  for (const uint64_t number : field) put_integer(number);
}

void FrameWriter::operator()(const Texts& field) {
  MC_CHECK(field.size() <= UINT16_MAX);
  put_integer(static_cast<uint16_t>(field.size()));
  for (const Text& text : field) (*this)(text);
}

void FrameWriter::finish() {
  const size_t length = out_->size() - start_ - kLengthBytes;
  MC_CHECK(length <= bounds::kFrameBytesMax);
  const auto value = static_cast<uint32_t>(length);
  std::memcpy(out_->data() + start_, &value, sizeof value);
}

void FrameReader::feed(const uint8_t* bytes, size_t size) {
  erase_consumed();
  pending_.insert(pending_.end(), bytes, bytes + size);
}

void FrameReader::erase_consumed() {
  const size_t left = pending_.size() - consumed_;
  if (consumed_ == 0) return;
  std::memmove(pending_.data(), pending_.data() + consumed_, left);
  erase_bytes(pending_.data() + left, consumed_);
  pending_.resize(left);
  consumed_ = 0;
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

uint32_t frames_fingerprint(const char* text) {
  uint32_t hash = 0x811c9dc5U;
  for (; *text != '\0'; ++text) hash = (hash ^ static_cast<uint8_t>(*text)) * 0x01000193U;
  return hash;
}

}  // namespace megacomet
