// A table from frame type to handler. A frame is decoded once, as the one type that its handler
// takes, so a received message costs no construction of any other frame.
#pragma once

#include <initializer_list>
#include <type_traits>
#include <utility>

#include "ipc/frames.h"

namespace megacomet {

/// The frame that a method takes, by value or by reference.
template <typename Method>
struct FrameOf;
template <typename Result, typename Target, typename Frame>
struct FrameOf<Result (Target::*)(Frame)> {
  using Type = std::decay_t<Frame>;
};

/// Decodes a frame and passes it to `Method`. False if the body is invalid, or the method returns
/// false. A method without a result accepts every frame.
template <auto Method, typename Target>
[[nodiscard]] bool handle(Target& target, const FrameView& view) {
  typename FrameOf<decltype(Method)>::Type frame;
  if (!decode(view, &frame)) return false;
  if constexpr (std::is_void_v<decltype((target.*Method)(std::move(frame)))>) {
    (target.*Method)(std::move(frame));
    return true;
  } else {
    return (target.*Method)(std::move(frame));
  }
}

template <typename Target>
class DispatchTable {
 public:
  using Handler = bool (*)(Target&, const FrameView&);
  struct Row {
    FrameType type;
    Handler handler;
  };

  constexpr DispatchTable(std::initializer_list<Row> rows) {
    for (const Row& row : rows) handlers_[static_cast<uint8_t>(row.type)] = row.handler;
  }

  /// Calls the handler of the frame's type. False if it has none, or the handler returned false.
  [[nodiscard]] bool dispatch(Target& target, const FrameView& view) const {
    const Handler handler = handlers_[view.type];
    return handler != nullptr && handler(target, view);
  }

 private:
  /// One entry for each value of the type byte.
  Handler handlers_[256] = {};
};

}  // namespace megacomet
