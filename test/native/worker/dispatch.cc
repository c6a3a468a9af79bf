// Tests of the table from frame type to handler.
#include "worker/dispatch.h"

#include <vector>

#include "support/unit.h"

using namespace megacomet;

namespace {

/// Has a handler of each kind: by value, by reference, with and without a result.
struct Target {
  void publish(frame::Publish publish) { data = std::move(publish.data.bytes); }
  void watch(const frame::Watch& command) { listener = command.listener; }
  bool drain(const frame::Drain& command) { return command.drain_ms < 100; }

  std::string data;
  uint32_t listener = 0;
};

template <auto Method>
bool to_target(Target& target, const FrameView& view) {
  return handle<Method>(target, view);
}

constexpr DispatchTable<Target> kTable({
    {FrameType::kPublish, to_target<&Target::publish>},
    {FrameType::kWatch, to_target<&Target::watch>},
    {FrameType::kDrain, to_target<&Target::drain>},
});

template <typename Frame>
bool dispatch(Target* target, const Frame& frame, size_t cut = 0) {
  std::vector<uint8_t> bytes;
  encode(frame, &bytes);
  // After the length and the type.
  return kTable.dispatch(*target, {bytes[4], bytes.data() + 5, bytes.size() - 5 - cut});
}

}  // namespace

TEST("a frame reaches the handler of its type with its fields") {
  Target target;
  frame::Publish publish;
  publish.data.bytes = std::string(1000, 'x');
  EXPECT(dispatch(&target, publish));
  EXPECT(target.data == std::string(1000, 'x'));
  EXPECT(dispatch(&target, frame::Watch{7, 1}));
  EXPECT_EQUAL(target.listener, 7U);
}

TEST("a frame without a handler, of an unknown type or with a short body is not handled") {
  Target target;
  EXPECT(!dispatch(&target, frame::Goodbye{1}));
  EXPECT(!kTable.dispatch(target, {0, nullptr, 0}));
  EXPECT(!kTable.dispatch(target, {255, nullptr, 0}));
  EXPECT(!dispatch(&target, frame::Watch{7, 1}, 1));
  EXPECT_EQUAL(target.listener, 0U);
}

TEST("a handler can reject its frame") {
  Target target;
  EXPECT(dispatch(&target, frame::Drain{99}));
  EXPECT(!dispatch(&target, frame::Drain{100}));
}
