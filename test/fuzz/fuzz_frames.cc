// Fuzz target for what the native side reads from a stream: frames of the control stream, cut into
// parts as the input says, each decoded as every type and encoded again; and addresses.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "address.h"
#include "check.h"
#include "frames.h"

using namespace megacomet;

namespace {

/// What was decoded encodes to the very bytes that it came from: nothing was lost or invented.
template <typename Frame>
void check_decoding(const FrameView& view) {
  Frame value;
  if (!decode(view, &value)) return;
  std::vector<uint8_t> bytes;
  encode(value, &bytes);
  MC_CHECK(bytes.size() == 5 + view.size);
  MC_CHECK(view.size == 0 || std::memcmp(bytes.data() + 5, view.body, view.size) == 0);
}

void check_frame(const FrameView& view) {
  // A copy of exact size, so that a read past the end is seen.
  const std::vector<uint8_t> tight(view.body, view.body + view.size);
  const FrameView copy{view.type, tight.data(), tight.size()};
#define X(identifier, number, name, fields) check_decoding<frame::name>(copy);
  MC_FRAMES(X)
#undef X
}

/// Feeds the stream in parts of `part` bytes; returns how many bytes were in whole frames.
size_t read_stream(const uint8_t* bytes, size_t size, size_t part) {
  FrameReader reader;
  FrameView view{};
  size_t whole = 0;
  for (size_t at = 0; at < size; at += part) {
    reader.feed(bytes + at, size - at < part ? size - at : part);
    while (reader.next(&view)) {
      whole += 5 + view.size;
      check_frame(view);
    }
  }
  return whole;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const size_t part = 1 + data[0];
  const size_t in_parts = read_stream(data + 1, size - 1, part);
  const size_t at_once = read_stream(data + 1, size - 1, size);
  MC_CHECK(in_parts == at_once && at_once <= size - 1);
  Address address{};
  (void)parse_address(std::string(data + 1, data + size), &address);
  return 0;
}
