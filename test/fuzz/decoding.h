// What every fuzz target of control frames asks of the codec.
#pragma once

#include <cstring>
#include <vector>

#include "base/check.h"
#include "ipc/frames.h"
#include "ipc/load_frames.h"

namespace fuzz {

/// A decoded frame encodes to the bytes that it came from: nothing was lost or invented.
template <typename Frame>
void check_decoding(const megacomet::FrameView& view) {
  Frame value;
  if (!megacomet::decode(view, &value)) return;
  std::vector<uint8_t> bytes;
  megacomet::encode(value, &bytes);
  MC_CHECK(bytes.size() == 5 + view.size);
  MC_CHECK(view.size == 0 || std::memcmp(bytes.data() + 5, view.body, view.size) == 0);
}

/// Tries each type: a frame of another type may have the same body.
inline void check_frame(const megacomet::FrameView& view) {
#define X(identifier, number, name, fields) check_decoding<megacomet::frame::name>(view);
  MC_FRAMES(X)
  MC_LOAD_FRAMES(X)
#undef X
}

}  // namespace fuzz
