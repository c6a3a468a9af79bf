// Tests of the one path by which bytes leave a connection, without sockets.
#include "connection/sender.h"

#include <string>

#include "support/hub_parts.h"
#include "support/unit.h"

using namespace megacomet;
using unit::FakeSocket;
using unit::SendingParts;

namespace {

constexpr Protocol make_protocol(bool pauses_reading) {
  Protocol protocol;
  protocol.pauses_reading = pauses_reading;
  return protocol;
}

constexpr Protocol kPlain = make_protocol(false);
constexpr Protocol kPausing = make_protocol(true);
constexpr const Protocol* kProtocols[] = {&kPlain, &kPausing};

struct World : SendingParts {
  World() : SendingParts(kProtocols) { sender.limits().set({100, 50, 1000}); }

  bool send(Connection* connection, const std::string& text) {
    return sender.send(connection, make_payload(text));
  }
  bool send_copy(Connection* connection, const std::string& text) {
    return sender.send_copy(connection, reinterpret_cast<const uint8_t*>(text.data()), text.size());
  }
};

}  // namespace

TEST("bytes that the kernel accepts at once need no session") {
  World world;
  Connection* connection = world.owner.open(5);
  EXPECT(world.send(connection, "one ") && world.send_copy(connection, "two"));
  EXPECT(FakeSocket::sent[5] == "one two");
  EXPECT(connection->state == ConnectionState::kOpen && !connection->is_blocked);
  EXPECT_EQUAL(world.count(Counter::kBytesSentTotal), 7U);
  EXPECT_EQUAL(world.count(Counter::kShortWritesTotal), 0U);
}

TEST("a short write blocks a connection until the rest is sent in order") {
  World world;
  Connection* connection = world.owner.open(5);
  FakeSocket::room[5] = 2;
  EXPECT(world.send(connection, "abcd"));
  EXPECT(connection->is_blocked && connection->is_busy());
  EXPECT_EQUAL(connection->deadline, World::kWriteS);
  EXPECT_EQUAL(world.owner.watched[5], EV_READ | EV_WRITE);
  EXPECT(world.send_copy(connection, "ef"));
  EXPECT_EQUAL(FakeSocket::calls_made, 1);
  EXPECT_EQUAL(world.count(Counter::kSendQueueBytes), 4U);
  EXPECT_EQUAL(world.count(Counter::kSendQueueConnections), 1U);
  world.sender.on_writable(connection);
  EXPECT(connection->is_blocked);
  FakeSocket::room[5] = 100;
  world.sender.on_writable(connection);
  EXPECT(FakeSocket::sent[5] == "abcdef");
  EXPECT(connection->state == ConnectionState::kOpen && !connection->is_blocked);
  EXPECT_EQUAL(world.owner.watched[5], +EV_READ);
  EXPECT_EQUAL(connection->deadline, World::kHeartbeatS);
  EXPECT_EQUAL(world.count(Counter::kShortWritesTotal), 1U);
  EXPECT_EQUAL(world.count(Counter::kSendQueueBytes), 0U);
  EXPECT_EQUAL(world.count(Counter::kSendQueueConnections), 0U);
  EXPECT_EQUAL(world.count(Counter::kSessions), 0U);
}

TEST("a protocol that pauses reading is not read while it is blocked, and may queue more") {
  World world;
  Connection* connection = world.owner.open(5);
  connection->protocol = 1;
  FakeSocket::room[5] = 0;
  EXPECT(world.send_copy(connection, std::string(100, 'x')));
  EXPECT_EQUAL(world.owner.watched[5], +EV_WRITE);
  EXPECT(world.send(connection, std::string(50, 'x')));
  EXPECT(!world.send(connection, "x"));
  EXPECT(world.owner.closed[5] == CloseCause::kSlow);
}

TEST("gathered parts are sent in one call, and queued part by part") {
  World world;
  Connection* connection = world.owner.open(5);
  world.sender.gather(connection);
  for (const char* text : {"ab", "cd", "ef"}) EXPECT(world.send(connection, text));
  EXPECT(FakeSocket::sent[5].empty());
  FakeSocket::room[5] = 3;
  world.sender.flush_gathered();
  EXPECT_EQUAL(FakeSocket::calls_made, 1);
  EXPECT(FakeSocket::sent[5] == "abc");
  EXPECT_EQUAL(world.count(Counter::kSendQueueBytes), 3U);
  FakeSocket::room[5] = 100;
  world.sender.on_writable(connection);
  EXPECT(FakeSocket::sent[5] == "abcdef");
  world.sender.gather(connection);
  EXPECT(world.send(connection, "lost"));
  world.owner.close(connection, CloseCause::kKicked);
  world.sender.flush_gathered();
  EXPECT(FakeSocket::sent[5] == "abcdef");
}

TEST("a finished connection closes with its last byte, and at once without queued output") {
  World world;
  world.sender.finish(world.owner.open(4), CloseCause::kPeer);
  EXPECT(world.owner.closed[4] == CloseCause::kPeer);
  Connection* connection = world.owner.open(5);
  FakeSocket::room[5] = 0;
  EXPECT(world.send(connection, "last"));
  world.sender.finish(connection, CloseCause::kPeer);
  EXPECT(connection->is_closing && world.owner.closed.count(5) == 0);
  EXPECT_EQUAL(world.owner.watched[5], +EV_WRITE);
  FakeSocket::room[5] = 100;
  world.sender.on_writable(connection);
  EXPECT(FakeSocket::sent[5] == "last");
  EXPECT(world.owner.closed[5] == CloseCause::kDone);
  EXPECT_EQUAL(world.count(Counter::kSessions), 0U);
}

TEST("a reset closes the connection, also while output is queued or gathered") {
  World world;
  for (int fd = 1; fd <= 3; ++fd) {
    Connection* connection = world.owner.open(fd);
    if (fd == 1) {
      FakeSocket::failed[fd] = true;
      EXPECT(!world.send(connection, "x"));
    } else if (fd == 2) {
      FakeSocket::room[fd] = 0;
      EXPECT(world.send_copy(connection, "x"));
      FakeSocket::failed[fd] = true;
      world.sender.on_writable(connection);
    } else {
      world.sender.gather(connection);
      EXPECT(world.send(connection, "x"));
      FakeSocket::failed[fd] = true;
      world.sender.flush_gathered();
    }
    EXPECT(world.owner.closed[fd] == CloseCause::kReset);
  }
  EXPECT_EQUAL(world.count(Counter::kSendQueueBytes), 0U);
  EXPECT_EQUAL(world.count(Counter::kSendQueueConnections), 0U);
  EXPECT_EQUAL(world.count(Counter::kSessions), 0U);
}

TEST("a message postpones the heartbeat, but not the deadline of a blocked connection") {
  World world;
  Connection* connection = world.owner.open(5);
  world.sender.postpone_heartbeat(connection);
  EXPECT_EQUAL(connection->deadline, World::kHeartbeatS);
  FakeSocket::room[5] = 0;
  EXPECT(world.send(connection, "x"));
  world.sender.postpone_heartbeat(connection);
  EXPECT_EQUAL(connection->deadline, World::kWriteS);
}
