// Tests of disconnecting by order, without sockets.
#include "hub/kicks.h"

#include "support/hub_parts.h"
#include "support/unit.h"

using namespace megacomet;
using unit::HubParts;

namespace {

struct World {
  World() : kicks({&parts.connections, &parts.channels, &parts.owner, &parts.crowd}) {
    parts.channels.at(parts.channels.open("a")).is_live = true;
    for (int fd = 1; fd <= 4; ++fd) {
      Connection* connection = parts.open(fd);
      if (fd % 2 == 0) parts.subscribe(connection, {"a"});
    }
  }
  HubParts parts;
  Kicks kicks;
};

}  // namespace

TEST("a kick of a channel disconnects its subscribers with the reason") {
  World world;
  world.kicks.kick("other", "no");
  EXPECT(world.parts.owner.closed.empty());
  world.kicks.kick("a", "maintenance");
  EXPECT_EQUAL(world.parts.owner.closed.size(), 2U);
  EXPECT(world.parts.owner.closed[2] == CloseCause::kKicked);
  EXPECT(world.parts.owner.closed[4] == CloseCause::kKicked);
  EXPECT(world.parts.owner.last_reason == "maintenance");
}

TEST("a kick without a channel disconnects everybody") {
  World world;
  world.kicks.kick("", "");
  EXPECT_EQUAL(world.parts.owner.closed.size(), 4U);
}

TEST("a kick of one connection does not hit the next occupant of its record") {
  World world;
  const ConnectionName old = name_of(*world.parts.connections.at(3));
  world.parts.owner.close(world.parts.connections.at(3), CloseCause::kPeer);
  world.parts.open(3);
  EXPECT(!world.kicks.kick(old, ""));
  EXPECT(world.parts.owner.closed[3] == CloseCause::kPeer);
  const ConnectionName now = name_of(*world.parts.connections.at(3));
  EXPECT(world.kicks.kick(now, ""));
  EXPECT(!world.kicks.kick(now, ""));
  EXPECT(world.parts.owner.closed[3] == CloseCause::kKicked);
}

TEST("a connection that ends already cannot be kicked again") {
  World world;
  Connection* connection = world.parts.connections.at(3);
  connection->is_closing = true;
  EXPECT(!world.kicks.kick(name_of(*connection), ""));
  world.kicks.kick("", "");
  EXPECT_EQUAL(world.parts.owner.closed.count(3), 0U);
}
