// Tests of the comparison of positions over any distance of message numbers, without sockets.
#include "hub/number_window.h"

#include <initializer_list>

#include "support/hub_parts.h"
#include "support/unit.h"

using namespace megacomet;
using unit::FakeSocket;
using unit::HubParts;

namespace {

constexpr uint64_t kHalf = uint64_t{1} << 31U;
constexpr uint64_t kWhole = uint64_t{1} << 32U;

/// Distances at which a comparison of 32 bits is wrong, and their neighbours.
constexpr std::initializer_list<uint64_t> kJumps = {1,
                                                    kHalf / 2,
                                                    kHalf - 100,
                                                    kHalf - 1,
                                                    kHalf,
                                                    kHalf + 10,
                                                    kWhole - 100,
                                                    kWhole,
                                                    kWhole + 5,
                                                    kWhole + 100,
                                                    kWhole + kHalf + 1,
                                                    uint64_t{1} << 40U,
                                                    uint64_t{1} << 52U};

struct World {
  World() {
    for (const char* name : {"busy", "quiet", "quiet/*", "quiet/1"}) {
      parts.channels.at(parts.channels.open(name)).is_live = true;
    }
  }
  Connection* subscriber(int fd, const std::vector<std::string>& names, bool is_poll = false) {
    Connection* connection = parts.open(fd, is_poll);
    parts.subscribe(connection, names);
    FakeSocket::sent[fd].clear();
    return connection;
  }
  HubParts parts;
};

std::string text(uint64_t number, const std::string& channel) {
  return std::to_string(number) + ":" + channel + ";";
}

}  // namespace

TEST("a subscriber of a quiet channel receives its message after any number of others") {
  for (const uint64_t jump : kJumps) {
    World world;
    world.subscriber(1, {"quiet"});
    world.subscriber(2, {"quiet", "busy"});
    world.subscriber(3, {"quiet"}, true);
    world.subscriber(4, {"quiet/*", "quiet/1"});
    world.parts.publish(5, "busy");
    world.parts.publish(5 + jump, "busy");
    world.parts.publish(6 + jump, "quiet");
    world.parts.publish(7 + jump, "quiet/1");
    EXPECT(FakeSocket::sent[1] == text(6 + jump, "quiet"));
    EXPECT(FakeSocket::sent[2] ==
           text(5, "busy") + text(5 + jump, "busy") + text(6 + jump, "quiet"));
    EXPECT(FakeSocket::sent[3] == text(6 + jump, "quiet"));
    EXPECT(FakeSocket::sent[4] == text(7 + jump, "quiet/1"));
  }
}

TEST("many steps, each below the limit, add up") {
  World world;
  world.subscriber(1, {"quiet"});
  uint64_t number = 1;
  for (int step = 0; step < 40; ++step) {
    number += (uint64_t{1} << 30U) - 7;
    world.parts.publish(number, "busy");
  }
  world.parts.publish(number + 1, "quiet");
  EXPECT(FakeSocket::sent[1] == text(number + 1, "quiet"));
}

TEST("a message received before the numbers moved is not received again") {
  for (const uint64_t jump : kJumps) {
    World world;
    world.subscriber(1, {"quiet", "busy"});
    world.parts.publish(4, "quiet", false);
    world.parts.publish(5, "busy", false);
    world.parts.publish(5 + jump, "quiet", false);
    world.parts.publish(6 + jump, "busy", false);
    while (world.parts.fanout.unfinished() > 0) {
      static_cast<void>(world.parts.fanout.pump(UINT64_MAX));
    }
    EXPECT(FakeSocket::sent[1] ==
           text(4, "quiet") + text(5, "busy") + text(5 + jump, "quiet") + text(6 + jump, "busy"));
  }
}

TEST("a message that is spread over a time is complete before the numbers move far") {
  World world;
  world.subscriber(1, {"quiet"});
  world.subscriber(2, {"quiet"});
  const Ref<Message> slow = world.parts.message(4, "quiet");
  slow->spread_ms = 60'000;
  world.parts.delivery.publish(slow);
  EXPECT(FakeSocket::sent[1].empty() || FakeSocket::sent[2].empty());
  world.parts.publish(4 + kHalf + 10, "quiet");
  for (const int fd : {1, 2}) {
    EXPECT(FakeSocket::sent[fd] == text(4, "quiet") + text(4 + kHalf + 10, "quiet"));
  }
}

TEST("a subscriber that joins during a fan-out across the move does not receive its message") {
  World world;
  world.subscriber(1, {"quiet"});
  world.subscriber(2, {"quiet"});
  const uint64_t last = (uint64_t{1} << 30U) - 1;
  world.parts.publish(last, "quiet", false);
  world.subscriber(3, {"quiet"});
  world.parts.publish(last + 1, "busy", false);
  world.parts.publish(last + 2, "quiet");
  EXPECT(FakeSocket::sent[1] == text(last, "quiet") + text(last + 2, "quiet"));
  EXPECT(FakeSocket::sent[3] == text(last + 2, "quiet"));
}

TEST("a replay page of a far number is followed by every later message") {
  for (const uint64_t jump : kJumps) {
    World world;
    world.subscriber(1, {"quiet"});
    world.parts.publish(5, "busy");
    // A channel that is not live yet needs a page.
    Connection* late = world.parts.open(2, false);
    world.parts.subscribe(late, {"other"});
    world.parts.answer(5 + jump);
    FakeSocket::sent[2].clear();
    world.parts.publish(6 + jump, "quiet");
    world.parts.publish(7 + jump, "other");
    EXPECT(FakeSocket::sent[1] == text(6 + jump, "quiet"));
    EXPECT(FakeSocket::sent[2] == text(7 + jump, "other"));
  }
}

TEST("a loss of any distance is reported once to idle and busy subscribers") {
  for (const uint64_t jump : kJumps) {
    World world;
    world.subscriber(1, {"quiet"});
    world.subscriber(2, {"quiet", "busy"});
    world.subscriber(3, {"quiet"}, true);
    world.subscriber(4, {"quiet/*", "quiet/1"});
    world.parts.publish(5, "busy", false);
    world.parts.delivery.report_loss(5 + jump, 0);
    world.parts.publish(6 + jump, "quiet", false);
    world.parts.publish(6 + 2 * jump, "quiet/1");
    const std::string lost = "lost@" + std::to_string(5 + jump) + ";";
    EXPECT(FakeSocket::sent[1] == lost + text(6 + jump, "quiet"));
    EXPECT(FakeSocket::sent[2] == text(5, "busy") + lost + text(6 + jump, "quiet"));
    EXPECT(FakeSocket::sent[3] == lost);
    EXPECT(FakeSocket::sent[4] == lost + text(6 + 2 * jump, "quiet/1"));
  }
}

TEST("the caches answer cursors on both sides of any jump of the numbers") {
  for (const uint64_t jump : kJumps) {
    World world;
    world.subscriber(9, {"quiet"});
    world.parts.publish(4, "quiet");
    world.parts.publish(5, "quiet");
    world.parts.publish(5 + jump, "quiet");
    const auto answer = [&](int fd, uint64_t number) {
      const Cursor since{HubParts::kEpoch, number};
      world.parts.subscribe(world.parts.open(fd), {"quiet"}, &since);
      return FakeSocket::sent[fd];
    };
    const std::string last = std::to_string(5 + jump);
    const std::string end = "@" + last + " last]";
    EXPECT(answer(1, 4) == "[5 " + last + " " + end);
    EXPECT(answer(2, 5) == "[" + last + " " + end);
    EXPECT(answer(3, 4 + jump) == "[" + last + " " + end);
    EXPECT(answer(4, 5 + jump) == "[" + end);
    // A cursor of the future is a question for the manager.
    EXPECT(answer(5, 6 + jump).empty());
    EXPECT_EQUAL(world.parts.requests.size(), 1U);
  }
}

TEST("a replay that waits while the numbers move receives each message once") {
  for (const uint64_t jump : kJumps) {
    World world;
    world.subscriber(1, {"busy"});
    world.parts.publish(5, "busy");
    const Cursor since{HubParts::kEpoch, 3};
    world.parts.subscribe(world.parts.open(2), {"other", "busy"}, &since);
    const frame::ReplayRequest request = world.parts.requests.back();
    world.parts.publish(5 + jump, "busy");
    world.parts.recovery.on_page({request.fd, request.generation},
                                 {{world.parts.message(4, "other")}, 4, false, false});
    world.parts.publish(6 + 2 * jump, "busy");
    world.parts.recovery.on_page(
        {request.fd, request.generation},
        {{world.parts.message(5 + jump, "busy")}, 6 + 2 * jump, true, false});
    world.parts.publish(7 + 2 * jump, "other");
    EXPECT(FakeSocket::sent[2] == "[4 @4][" + std::to_string(5 + jump) + " @" +
                                      std::to_string(6 + 2 * jump) + " last]" +
                                      text(7 + 2 * jump, "other"));
  }
}
