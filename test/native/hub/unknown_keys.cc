// Tests of the reports about tokens with an unknown key.
#include "hub/unknown_keys.h"

#include <string>
#include <vector>

#include "support/fixture.h"
#include "support/unit.h"

using namespace megacomet;

namespace {

constexpr uint64_t kSecondNs = 1'000'000'000;

struct World {
  World() { EXPECT(control.start()); }

  /// The tokens in each report since the last call.
  std::vector<uint32_t> reports() {
    std::vector<uint32_t> found;
    control.flush();
    peer.receive([&](const FrameView& view) {
      frame::UnknownKey report;
      if (decode(view, &report)) found.push_back(report.tokens);
    });
    return found;
  }

  LoopOwner loop = make_loop();
  unit::ControlPeer peer;
  unit::DeafHandler handler;
  Control control{loop.get(), &handler};
  UnknownKeys keys{&control};
};

}  // namespace

TEST("the manager gets one report a second, with all tokens since the last one") {
  World world;
  uint64_t now_ns = 5 * kSecondNs;
  for (int count = 0; count < 1000; ++count) {
    EXPECT(world.keys.note(now_ns) == TokenFault::kKeyPending);
  }
  EXPECT(world.reports() == std::vector<uint32_t>({1}));
  EXPECT(world.keys.note(now_ns + kSecondNs - 1) == TokenFault::kKeyPending);
  EXPECT(world.reports().empty());
  now_ns += kSecondNs;
  EXPECT(world.keys.note(now_ns) == TokenFault::kKeyPending);
  EXPECT(world.keys.note(now_ns) == TokenFault::kKeyPending);
  EXPECT(world.reports() == std::vector<uint32_t>({1001}));
}

TEST("after a fetch unknown keys are wrong for its time, and are not reported") {
  World world;
  const uint64_t now_ns = 5 * kSecondNs;
  world.keys.on_checked(30, now_ns);
  EXPECT(world.keys.note(now_ns) == TokenFault::kUnknownKey);
  EXPECT(world.keys.note(now_ns + 30 * kSecondNs - 1) == TokenFault::kUnknownKey);
  EXPECT(world.reports().empty());
  EXPECT(world.keys.note(now_ns + 30 * kSecondNs) == TokenFault::kKeyPending);
  EXPECT(world.reports() == std::vector<uint32_t>({1}));
}

TEST("a manager that does not read gets its report later, and no token is forgotten") {
  World world;
  const std::string text(2000, 'x');
  while (world.control.log(LogLevel::kWarn, text.c_str())) continue;
  EXPECT(world.control.is_full());
  for (uint64_t count = 0; count < 5; ++count) {
    EXPECT(world.keys.note(count * kSecondNs) == TokenFault::kKeyPending);
  }
  EXPECT(unit::run_until(world.loop.get(), [&] {
    EXPECT(world.reports().empty());
    return !world.control.is_full();
  }));
  EXPECT(world.keys.note(5 * kSecondNs) == TokenFault::kKeyPending);
  std::vector<uint32_t> found;
  EXPECT(unit::run_until(world.loop.get(), [&] {
    for (const uint32_t tokens : world.reports()) found.push_back(tokens);
    return !found.empty();
  }));
  EXPECT(found == std::vector<uint32_t>({6}));
}
