// Chunked bodies of requests.
// In place over the caller's bytes, in whatever parts they come. No I/O, no allocation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace megacomet {

enum class BodyStep : uint8_t {
  kMore,  // All bytes are used up, and the body goes on.
  kData,  // Some content was found.
  kEnd,   // The body is over; what is left belongs to the next request.
  kBad,   // Nothing after this can be trusted: answer answer(), and close.
};

/// Takes a chunked body apart (RFC 9112 7.1). Extensions and trailers are checked and dropped; a
/// trailer that is a known field is refused: those are judged with the head, or not at all.
class ChunkedBody {
 public:
  /// `bytes_max` bounds the content as a whole.
  explicit ChunkedBody(uint64_t bytes_max) : left_max_(bytes_max) {}

  /// Takes bytes off the front up to the end of the next piece of content, which is set as `data`.
  [[nodiscard]] BodyStep next(std::string_view* bytes, std::string_view* data);

  /// The status to answer with after kBad: 413 past `bytes_max`, 431 for trailers, 400 otherwise.
  [[nodiscard]] uint16_t answer() const { return answer_; }

 private:
  /// What the next byte belongs to. From kData on no byte is looked at.
  enum class Place : uint8_t {
    kSize,
    kSizeEnd,
    kExtensionName,
    kExtensionValue,
    kExtensionToken,
    kExtensionQuoted,
    kExtensionEscaped,
    kExtensionEnd,
    kDataReturn,
    kDataEnd,
    kTrailerStart,
    kTrailerName,
    kTrailerValue,
    kTrailerEnd,
    kBodyEnd,
    kData,
    kOver,
    kRejected,
  };

  Place read(char byte);
  Place read_size(char byte);
  Place read_extension(char byte);
  Place end_extension(char byte);
  Place read_trailer(char byte);
  Place read_trailer_name(char byte);
  Place begin_data();
  Place refuse(uint16_t answer);

  static constexpr size_t kNameBytes = 32;

  uint64_t left_max_;
  uint64_t chunk_left_ = 0;
  uint16_t answer_ = 400;
  uint16_t trailer_bytes_ = 0;
  uint8_t digits_ = 0;
  uint8_t extension_bytes_ = 0;
  uint8_t name_bytes_ = 0;  // Of an extension or a trailer.
  Place place_ = Place::kSize;
  char name_[kNameBytes] = {};  // Of a trailer; a longer one is no known field.
};

}  // namespace megacomet
