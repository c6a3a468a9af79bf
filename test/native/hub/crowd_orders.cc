// Tests of orders about many connections, with a clock of the test.
#include "hub/crowd_orders.h"

#include <vector>

#include "base/bounds.h"
#include "support/hub_parts.h"
#include "support/unit.h"

using namespace megacomet;

namespace {

/// Each connection takes a quarter of a slice.
uint64_t now_ns = 1;
uint64_t next_time() {
  return now_ns += bounds::kFanoutSliceNs / 4;
}

struct World {
  World() {
    for (int fd = 1; fd <= 10; ++fd) names.push_back(name_of(*parts.open(fd)));
  }

  void close_all(const std::vector<ConnectionName>& wanted) {
    orders.add(wanted, [this](Connection* connection) {
      parts.owner.disconnect(connection, CloseCause::kKicked, "");
    });
  }

  unit::HubParts parts;
  std::vector<ConnectionName> names;
  CrowdOrders orders{&parts.connections, next_time};
};

}  // namespace

TEST("an order about many takes one slice of each loop iteration") {
  World world;
  world.orders.begin_iteration();
  world.close_all(world.names);
  const size_t first = world.parts.owner.closed.size();
  EXPECT(first > 0 && first < 5);
  world.orders.run();
  EXPECT_EQUAL(world.parts.owner.closed.size(), first);
  EXPECT(world.orders.is_pending());
  int iterations = 1;
  for (; world.orders.is_pending() && iterations < 100; ++iterations) {
    world.orders.begin_iteration();
    world.orders.run();
  }
  EXPECT_EQUAL(world.parts.owner.closed.size(), 10U);
  EXPECT(iterations > 2 && iterations < 11);
}

TEST("orders are carried out one after the other, for connections that are open at their turn") {
  World world;
  world.close_all(world.names);
  std::vector<int> visited;
  // A record that is used again belongs to another connection, and one that ends gets nothing.
  world.parts.owner.close(world.parts.connections.at(9), CloseCause::kPeer);
  world.parts.open(9);
  world.parts.connections.at(10)->is_closing = true;
  world.orders.add({name_of(*world.parts.connections.at(8)),
                    name_of(*world.parts.connections.at(9)),
                    name_of(*world.parts.connections.at(10))},
                   [&](Connection* connection) { visited.push_back(connection->fd()); });
  EXPECT(visited.empty());
  for (int iteration = 0; iteration < 100 && world.orders.is_pending(); ++iteration) {
    world.orders.begin_iteration();
    world.orders.run();
  }
  EXPECT(visited == std::vector<int>{9});
  EXPECT(world.parts.owner.closed[9] == CloseCause::kPeer);
  EXPECT_EQUAL(world.parts.owner.closed.count(10), 0U);
  EXPECT_EQUAL(world.parts.owner.closed.size(), 9U);
}

TEST("an order about no connection ends at once") {
  World world;
  world.close_all({});
  EXPECT(!world.orders.is_pending() && world.parts.owner.closed.empty());
}
