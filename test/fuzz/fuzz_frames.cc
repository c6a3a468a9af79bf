// Fuzz target for the frames of the control stream, split as the input says, each decoded as every
// type and encoded again; and for addresses.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/check.h"
#include "decoding.h"
#include "ipc/frames.h"
#include "os/address.h"

using namespace megacomet;

namespace {

/// Feeds the stream in parts of `part` bytes; returns the number of bytes in complete frames.
size_t read_stream(const uint8_t* bytes, size_t size, size_t part) {
  FrameReader reader;
  FrameView view{};
  size_t whole = 0;
  for (size_t at = 0; at < size; at += part) {
    reader.feed(bytes + at, size - at < part ? size - at : part);
    while (reader.next(&view)) {
      whole += 5 + view.size;
      // A copy of exact size, so that the sanitizer detects a read past its end.
      const std::vector<uint8_t> tight(view.body, view.body + view.size);
      fuzz::check_frame(FrameView{view.type, tight.data(), tight.size()});
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
