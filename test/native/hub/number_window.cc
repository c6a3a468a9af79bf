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
                                                    kWhole + 100,
                                                    kWhole + kHalf + 1,
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
