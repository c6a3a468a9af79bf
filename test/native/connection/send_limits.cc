// Tests of the limits of queued output, without sockets.
#include "connection/send_limits.h"

#include <string>

#include "support/hub_parts.h"
#include "support/unit.h"

using namespace megacomet;
using unit::FakeSocket;
using unit::SendingParts;

namespace {

constexpr Protocol kPlain = {};
constexpr const Protocol* kProtocols[] = {&kPlain};

struct World : SendingParts {
  World() : SendingParts(kProtocols) { sender.limits().set({100, 0, 1000}); }

  /// A connection whose socket accepts nothing, with `bytes` queued that are not a message.
  Connection* blocked(int fd, size_t bytes) {
    FakeSocket::room[fd] = 0;
    Connection* connection = owner.open(fd);
    EXPECT(sender.send(connection, make_payload(std::string(bytes, 'x'))));
    return connection;
  }
  bool message(Connection* connection, size_t bytes, SlowPolicy policy) {
    return sender.send_message(connection, make_payload(std::string(bytes, 'm')), policy);
  }
  static size_t queued(const Connection* connection) {
    return connection->session->send_queue.size();
  }
};

}  // namespace

TEST("the first queued output may exceed the limit of a connection, later output may not") {
  World world;
  Connection* connection = world.blocked(5, 500);
  EXPECT(!world.message(connection, 1, SlowPolicy::kDisconnect));
  EXPECT(world.owner.closed[5] == CloseCause::kSlow);
  EXPECT_EQUAL(world.count(Counter::kSendQueueBytes), 0U);
}

TEST("the policy drop oldest keeps the newest messages that fit") {
  World world;
  Connection* connection = world.blocked(5, 10);
  for (int count = 0; count < 3; ++count) {
    EXPECT(world.message(connection, 30, SlowPolicy::kDropOldest));
  }
  EXPECT_EQUAL(World::queued(connection), 100U);
  EXPECT(world.message(connection, 31, SlowPolicy::kDropOldest));
  EXPECT_EQUAL(world.count(Counter::kDroppedOldestTotal), 2U);
  EXPECT_EQUAL(World::queued(connection), 71U);
  EXPECT_EQUAL(world.count(Counter::kSendQueueBytes), 71U);
}

TEST("the policy latest only keeps one message, and never drops other output") {
  World world;
  Connection* connection = world.blocked(5, 10);
  for (int count = 0; count < 3; ++count) {
    EXPECT(world.message(connection, 30, SlowPolicy::kLatestOnly));
  }
  EXPECT(world.message(connection, 40, SlowPolicy::kLatestOnly));
  EXPECT_EQUAL(world.count(Counter::kDroppedReplacedTotal), 3U);
  EXPECT_EQUAL(World::queued(connection), 50U);
  EXPECT(!world.message(connection, 91, SlowPolicy::kLatestOnly));
  EXPECT(world.owner.closed[5] == CloseCause::kSlow);
}

TEST(
    "a response without room is not dropped but closes its connection, with any messages "
    "queued") {
  World world;
  Connection* connection = world.blocked(5, 10);
  EXPECT(world.message(connection, 90, SlowPolicy::kDropOldest));
  EXPECT(!world.sender.send(connection, make_payload("x")));
  EXPECT(world.owner.closed[5] == CloseCause::kSlow);
  EXPECT_EQUAL(world.count(Counter::kDroppedOldestTotal), 0U);
}

TEST("at the limit of the worker the connections with the most queued output close") {
  World world;
  for (int fd = 1; fd <= 4; ++fd) world.blocked(fd, static_cast<size_t>(fd) * 100);
  world.blocked(9, 1);
  EXPECT_EQUAL(world.owner.closed.size(), 1U);
  EXPECT(world.owner.closed.count(4) == 1 && world.owner.closed[4] == CloseCause::kSlow);
  EXPECT_EQUAL(world.count(Counter::kSendQueueFullTotal), 1U);
  // An eighth of the limit stays free: 875 less 601.
  world.blocked(10, 390);
  EXPECT_EQUAL(world.owner.closed.size(), 1U);
  Connection* largest = world.connections.at(10);
  EXPECT(!world.message(largest, 20, SlowPolicy::kDropOldest));
  EXPECT(world.owner.closed.count(10) == 1);
  EXPECT_EQUAL(world.count(Counter::kSendQueueBytes), 601U);
}

TEST("output larger than the limit of the worker closes its connection, after all others") {
  World world;
  world.blocked(1, 10);
  FakeSocket::room[2] = 0;
  Connection* connection = world.owner.open(2);
  EXPECT(!world.sender.send(connection, make_payload(std::string(1001, 'x'))));
  EXPECT_EQUAL(world.owner.closed.size(), 2U);
  EXPECT_EQUAL(world.count(Counter::kSendQueueFullTotal), 2U);
  EXPECT_EQUAL(world.count(Counter::kSendQueueConnections), 0U);
}
