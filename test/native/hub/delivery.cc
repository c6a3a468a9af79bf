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

TEST("a loss is reported once to each subscriber, after earlier messages and before later ones") {
  World world;
  world.subscriber(1, {"a"});
  world.subscriber(2, {"a", "b"});
  world.subscriber(3, {"a/*", "a/1"});
  Connection* poll = world.subscriber(4, {"a"}, true);
  world.parts.open(5);
  world.parts.publish(1, "a/1", false);
  world.parts.publish(2, "b", false);
  world.parts.delivery.report_loss(9, 0);
  world.parts.publish(10, "b", false);
  world.parts.publish(11, "a/1", false);
  world.pump();
  EXPECT(FakeSocket::sent[1] == "lost@9;");
  EXPECT(FakeSocket::sent[2] == "2:b;lost@9;10:b;");
  EXPECT(FakeSocket::sent[3] == "1:a/1;lost@9;11:a/1;");
  EXPECT(FakeSocket::sent[4] == "lost@9;" && poll->session == nullptr);
  EXPECT(FakeSocket::sent[5].empty());
  EXPECT_EQUAL(world.parts.count(Counter::kLossNoticesTotal), 4U);
  EXPECT_EQUAL(world.parts.count(Counter::kDeliveredTotal), 4U);
}

TEST("a subscriber that comes after a loss hears nothing of it, and a second loss is another one") {
  World world;
  world.subscriber(1, {"a"});
  world.parts.delivery.report_loss(9, 60'000);
  world.subscriber(2, {"a"});
  // The spread of the first ends when another one waits for it.
  world.parts.delivery.report_loss(12, 0);
  // Below the position of all.
  world.parts.delivery.report_loss(11, 0);
  world.pump();
  EXPECT(FakeSocket::sent[1] == "lost@9;lost@12;");
  EXPECT(FakeSocket::sent[2] == "lost@12;");
}

TEST("the position of a subscriber that has not heard of a loss yet is before it") {
  World world;
  Connection* only = world.subscriber(1, {"a"});
  Connection* several = world.subscriber(2, {"a", "b"});
  world.parts.publish(3, "a");
  world.parts.delivery.report_loss(9, 60'000);
  for (const Connection* one : {only, several}) {
    EXPECT(world.parts.position(*one) == (Cursor{HubParts::kEpoch, 8}));
  }
  // A drain disconnects: the notice comes first.
  world.parts.delivery.flush(only);
  EXPECT(FakeSocket::sent[1] == "3:a;lost@9;");
  EXPECT(world.parts.position(*only) == (Cursor{HubParts::kEpoch, 9}));
}

TEST("no policy for slow consumers drops the notice of a loss") {
  World world;
  world.parts.sender.limits().set({60, 0, 1U << 24U});
  Connection* slow = world.subscriber(1, {"a"});
  FakeSocket::room[1] = 0;
  world.parts.publish(1, "a");
  world.parts.delivery.report_loss(9, 0);
  world.pump();
  for (uint64_t number = 10; number < 100; ++number) {
    const Ref<Message> message = world.parts.message(number, "a");
    message->flags = static_cast<uint8_t>(SlowPolicy::kLatestOnly) << message_flag::kPolicyShift;
    world.parts.delivery.publish(message);
    world.pump();
  }
  FakeSocket::room.clear();
  world.parts.sender.on_writable(slow);
  EXPECT(FakeSocket::sent[1].find("lost@9;") != std::string::npos);
  EXPECT(FakeSocket::sent[1].find("99:a;") != std::string::npos);
  EXPECT(FakeSocket::sent[1].find("50:a;") == std::string::npos);
}
