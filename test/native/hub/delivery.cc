// Tests of deliveries: order, duplicates, gathering and protocols, without sockets.
#include "hub/delivery.h"

#include "support/hub_parts.h"
#include "support/unit.h"

using namespace megacomet;
using unit::FakeSocket;
using unit::HubParts;

namespace {

struct World {
  World() {
    for (const char* name : {"a", "b", "a/1", "a/*"}) {
      parts.channels.at(parts.channels.open(name)).is_live = true;
    }
  }
  Connection* subscriber(int fd, const std::vector<std::string>& names, bool is_poll = false) {
    Connection* connection = parts.open(fd, is_poll);
    parts.subscribe(connection, names);
    FakeSocket::sent[fd].clear();
    return connection;
  }
  void pump() {
    while (parts.fanout.unfinished() > 0) static_cast<void>(parts.fanout.pump(UINT64_MAX));
  }
  HubParts parts;
};

}  // namespace

TEST("a message reaches the subscribers of its channel alone, once") {
  World world;
  world.subscriber(1, {"a"});
  world.subscriber(2, {"b"});
  world.subscriber(3, {"a/1", "a/*"});
  world.parts.publish(1, "a");
  world.parts.publish(2, "a/1");
  // Numbers rise on the stream.
  world.parts.publish(2, "a");
  EXPECT(FakeSocket::sent[1] == "1:a;");
  EXPECT(FakeSocket::sent[2].empty());
  EXPECT(FakeSocket::sent[3] == "2:a/1;");
  EXPECT_EQUAL(world.parts.count(Counter::kDeliveredTotal), 2U);
  EXPECT_EQUAL(world.parts.count(Counter::kMessagesTotal), 2U);
}

TEST("pending messages of all channels leave in order and in one call") {
  World world;
  world.subscriber(1, {"a", "b"});
  world.subscriber(2, {"a"});
  FakeSocket::calls_made = 0;
  world.parts.publish(1, "b", false);
  world.parts.publish(2, "a", false);
  world.parts.publish(3, "b", false);
  world.pump();
  EXPECT(FakeSocket::sent[1] == "1:b;2:a;3:b;");
  EXPECT(FakeSocket::sent[2] == "2:a;");
  EXPECT_EQUAL(FakeSocket::calls_made, 2);
}

TEST("a subscriber that joins during a fan-out does not receive its message") {
  World world;
  for (int fd = 1; fd <= 3; ++fd) world.subscriber(fd, {"a"});
  world.parts.publish(1, "a", false);
  world.subscriber(4, {"a"});
  world.parts.unsubscribe(world.parts.connections.at(1));
  world.pump();
  EXPECT(FakeSocket::sent[1].empty() && FakeSocket::sent[4].empty());
  EXPECT(FakeSocket::sent[2] == "1:a;" && FakeSocket::sent[3] == "1:a;");
}

TEST("a poll receives one message and leaves") {
  World world;
  Connection* poll = world.subscriber(1, {"a", "b"}, true);
  world.subscriber(2, {"a"});
  world.parts.publish(1, "a", false);
  world.parts.publish(2, "a", false);
  world.parts.publish(3, "b", false);
  world.pump();
  EXPECT(FakeSocket::sent[1] == "1:a;");
  EXPECT(poll->session->subscriptions.empty());
  EXPECT_EQUAL(world.parts.count(Counter::kSubscriptions), 1U);
}

TEST("a delivery postpones the heartbeat of a protocol that allows it, and of no other") {
  World world;
  Connection* stream = world.subscriber(1, {"a"});
  Connection* poll = world.subscriber(2, {"a"}, true);
  stream->deadline = poll->deadline = 1;
  world.parts.publish(1, "a");
  EXPECT_EQUAL(stream->deadline, HubParts::kHeartbeatS);
  EXPECT_EQUAL(poll->deadline, 1U);
}

TEST("a closing connection receives nothing more") {
  World world;
  Connection* connection = world.subscriber(1, {"a", "b"});
  FakeSocket::room[1] = 0;
  world.parts.publish(1, "a");
  world.parts.sender.finish(connection, CloseCause::kDrain);
  EXPECT(connection->is_closing && connection->session->subscriptions.empty());
  world.parts.publish(2, "a");
  FakeSocket::room.clear();
  world.parts.sender.on_writable(connection);
  EXPECT(FakeSocket::sent[1] == "1:a;");
  EXPECT(world.parts.owner.closed[1] == CloseCause::kDone);
}

TEST("a subscriber that closes during the visit with its pending messages ends the visit") {
  World world;
  world.subscriber(1, {"a"});
  world.subscriber(2, {"a"});
  FakeSocket::failed[2] = true;
  for (uint64_t number = 1; number <= 3; ++number) world.parts.publish(number, "a", false);
  world.pump();
  EXPECT(world.parts.owner.closed[2] == CloseCause::kReset);
  EXPECT(FakeSocket::sent[1] == "1:a;2:a;3:a;");
}
