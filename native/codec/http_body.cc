// Taking chunked bodies apart. See http_body.h.
#include "codec/http_body.h"

#include "base/ascii.h"
#include "base/bounds.h"
#include "codec/http_codec.h"

namespace megacomet {

static_assert(bounds::kHttpChunkExtensionBytesMax < UINT8_MAX);
static_assert(bounds::kHttpTrailerBytesMax < UINT16_MAX);

ChunkedBody::Place ChunkedBody::refuse(uint16_t answer) {
  answer_ = answer;
  return Place::kRejected;
}

ChunkedBody::Place ChunkedBody::begin_data() {
  digits_ = 0;
  extension_bytes_ = 0;
  if (chunk_left_ == 0) return Place::kTrailerStart;
  if (chunk_left_ > left_max_) return refuse(413);
  left_max_ -= chunk_left_;
  return Place::kData;
}

ChunkedBody::Place ChunkedBody::read_size(char byte) {
  const int digit = ascii::hex_value(byte);
  if (digit < 0) return digits_ == 0 ? refuse(400) : end_extension(byte);
  if (++digits_ > bounds::kHttpChunkDigitsMax) return refuse(400);
  chunk_left_ = chunk_left_ << 4 | static_cast<uint64_t>(digit);
  return Place::kSize;
}

// RFC 9112 7.1.1 asks to bear blanks around the parts of an extension. Nobody sends them but to be
// read in two ways, so they are refused.
ChunkedBody::Place ChunkedBody::end_extension(char byte) {
  name_bytes_ = 0;
  if (byte == ';') return Place::kExtensionName;
  return byte == '\r' ? Place::kSizeEnd : refuse(400);
}

ChunkedBody::Place ChunkedBody::read_extension(char byte) {
  const bool is_token = ascii::kToken.has(byte);
  if (byte != '\r') ++extension_bytes_;
  if (extension_bytes_ > bounds::kHttpChunkExtensionBytesMax) return refuse(400);
  switch (place_) {
    case Place::kExtensionName:
      if (is_token) {
        ++name_bytes_;
        return Place::kExtensionName;
      }
      if (name_bytes_ == 0) return refuse(400);
      return byte == '=' ? Place::kExtensionValue : end_extension(byte);
    case Place::kExtensionValue:
      if (byte == '"') return Place::kExtensionQuoted;
      return is_token ? Place::kExtensionToken : refuse(400);
    case Place::kExtensionToken:
      return is_token ? Place::kExtensionToken : end_extension(byte);
    case Place::kExtensionQuoted:
      if (byte == '"') return Place::kExtensionEnd;
      if (byte == '\\') return Place::kExtensionEscaped;
      return ascii::kFieldText.has(byte) ? Place::kExtensionQuoted : refuse(400);
    case Place::kExtensionEscaped:
      return ascii::kFieldText.has(byte) ? Place::kExtensionQuoted : refuse(400);
    default:
      return end_extension(byte);
  }
}

ChunkedBody::Place ChunkedBody::read_trailer_name(char byte) {
  if (ascii::kToken.has(byte)) {
    if (name_bytes_ < kNameBytes) name_[name_bytes_] = byte;
    if (name_bytes_ <= kNameBytes) ++name_bytes_;
    return Place::kTrailerName;
  }
  if (byte != ':' || name_bytes_ == 0) return refuse(400);
  const bool is_known =
      name_bytes_ <= kNameBytes && field_named({name_, name_bytes_}) != Field::kOther;
  return is_known ? refuse(400) : Place::kTrailerValue;
}

ChunkedBody::Place ChunkedBody::read_trailer(char byte) {
  if (byte != '\r') ++trailer_bytes_;
  if (trailer_bytes_ > bounds::kHttpTrailerBytesMax) return refuse(431);
  if (place_ == Place::kTrailerStart) {
    if (byte == '\r') return Place::kBodyEnd;
    name_bytes_ = 0;
  }
  if (place_ != Place::kTrailerValue) return read_trailer_name(byte);
  if (byte == '\r') return Place::kTrailerEnd;
  return ascii::kFieldText.has(byte) ? Place::kTrailerValue : refuse(400);
}

ChunkedBody::Place ChunkedBody::read(char byte) {
  switch (place_) {
    case Place::kSize:
      return read_size(byte);
    case Place::kSizeEnd:
      return byte == '\n' ? begin_data() : refuse(400);
    case Place::kDataReturn:
      return byte == '\r' ? Place::kDataEnd : refuse(400);
    case Place::kDataEnd:
      return byte == '\n' ? Place::kSize : refuse(400);
    case Place::kTrailerStart:
    case Place::kTrailerName:
    case Place::kTrailerValue:
      return read_trailer(byte);
    case Place::kTrailerEnd:
      return byte == '\n' ? Place::kTrailerStart : refuse(400);
    case Place::kBodyEnd:
      return byte == '\n' ? Place::kOver : refuse(400);
    default:
      return read_extension(byte);
  }
}

BodyStep ChunkedBody::next(std::string_view* bytes, std::string_view* data) {
  while (place_ != Place::kOver && place_ != Place::kRejected) {
    if (bytes->empty()) return BodyStep::kMore;
    if (place_ != Place::kData) {
      place_ = read(bytes->front());
      bytes->remove_prefix(1);
      continue;
    }
    *data = bytes->substr(0, chunk_left_);
    bytes->remove_prefix(data->size());
    chunk_left_ -= data->size();
    if (chunk_left_ == 0) place_ = Place::kDataReturn;
    return BodyStep::kData;
  }
  return place_ == Place::kOver ? BodyStep::kEnd : BodyStep::kBad;
}

}  // namespace megacomet
