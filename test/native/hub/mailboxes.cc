// Tests of a worker's polls: one request, and one ack or nack, however each ends.
#include "hub/mailboxes.h"

#include <memory>
#include <string>
#include <vector>

#include "os/slab.h"
#include "support/fixture.h"
#include "support/unit.h"

using namespace megacomet;

namespace {

struct World {
  World() : control(loop.get(), &handler), mailboxes(&connections, &control) {
    EXPECT(connections.map(100));
    EXPECT(control.start());
  }

  Connection* open(int fd, uint32_t generation) {
    Connection* connection = connections.occupy(fd);
    connection->watcher.fd = fd;
    connection->state = ConnectionState::kOpen;
    connection->generation = generation;
    connection->protocol = static_cast<uint8_t>(ProtocolId::kHttp);
    return connection;
  }

  void close(Connection* connection) {
    mailboxes.on_close(connection);
    connections.release(connection->fd());
  }

  /// The frames to the manager after the last call, as text.
  std::string sent() {
    std::string text;
    control.flush();
    peer.receive([&](const FrameView& view) {
      frame::MailboxPoll poll;
      frame::MailboxAck ack;
      frame::MailboxNack nack;
      if (view.type == static_cast<uint8_t>(FrameType::kMailboxPoll) && decode(view, &poll)) {
        text += "poll " + poll.name + " " + text_of(poll) + ";";
      } else if (view.type == static_cast<uint8_t>(FrameType::kMailboxAck) && decode(view, &ack)) {
        text += "ack " + text_of(ack) + ";";
      } else if (EXPECT(decode(view, &nack))) {
        text += "nack " + text_of(nack) + ";";
      }
    });
    return text;
  }

  template <typename Frame>
  static std::string text_of(const Frame& frame) {
    return std::to_string(frame.fd) + "." + std::to_string(frame.generation);
  }

  LoopOwner loop = make_loop();
  unit::ControlPeer peer;
  unit::DeafHandler handler;
  Control control;
  Slab<Connection> connections;
  Mailboxes mailboxes;
};

}  // namespace

TEST("a poll whose message was sent is acknowledged when it closes") {
  World world;
  Connection* connection = world.open(9, 4);
  EXPECT(world.mailboxes.wait_for_mail(connection, "jim"));
  EXPECT(world.sent() == "poll jim 9.4;");
  EXPECT(world.mailboxes.find({9, 4}) == connection);
  world.mailboxes.mail_sent(connection);
  EXPECT(world.mailboxes.find({9, 4}) == nullptr);
  EXPECT(world.sent().empty());
  world.mailboxes.stop_waiting(connection);
  world.close(connection);
  EXPECT(world.sent() == "ack 9.4;");
}

TEST("a poll that closes while its message is queued is not acknowledged") {
  World world;
  Connection* connection = world.open(9, 4);
  EXPECT(world.mailboxes.wait_for_mail(connection, "jim"));
  connection->is_blocked = true;
  world.mailboxes.mail_sent(connection);
  world.close(connection);
  EXPECT(world.sent() == "poll jim 9.4;nack 9.4;");
}

TEST("a poll that ends without a message is returned once") {
  World world;
  Connection* left = world.open(9, 4);
  Connection* ended = world.open(10, 5);
  EXPECT(world.mailboxes.wait_for_mail(left, "a"));
  EXPECT(world.mailboxes.wait_for_mail(ended, "b"));
  world.mailboxes.stop_waiting(left);
  EXPECT(world.mailboxes.find({9, 4}) == nullptr);
  world.mailboxes.stop_waiting(left);
  world.close(left);
  world.close(ended);
  EXPECT(world.sent() == "poll a 9.4;poll b 10.5;nack 9.4;nack 10.5;");
}

TEST("other protocols, generations and descriptors are not polls") {
  World world;
  Connection* other = world.open(9, 4);
  other->protocol = static_cast<uint8_t>(ProtocolId::kWebSocket);
  // Its `mode` is the window of its compression.
  for (uint8_t mode = 0; mode < 16; ++mode) {
    other->mode = mode & 0xfU;
    EXPECT(world.mailboxes.find({9, 4}) == nullptr);
    world.mailboxes.stop_waiting(other);
    world.mailboxes.on_close(other);
  }
  EXPECT(world.sent().empty());
  EXPECT(unit::aborts([&] { world.mailboxes.mail_sent(other); }));
  EXPECT(world.mailboxes.wait_for_mail(world.open(10, 5), "a"));
  EXPECT(world.mailboxes.find({10, 4}) == nullptr);
  EXPECT(world.mailboxes.find({11, 5}) == nullptr);
  EXPECT(world.mailboxes.find({0, 0}) == nullptr);
  EXPECT(world.mailboxes.find({UINT32_MAX, 5}) == nullptr);
}

TEST("while the manager does not read, new polls are rejected and old ones are still returned") {
  World world;
  Connection* before = world.open(9, 1);
  EXPECT(world.mailboxes.wait_for_mail(before, "a"));
  const std::string name(bounds::kChannelBytesMax, 'x');
  uint32_t generation = 2;
  Connection* connection = world.open(10, generation);
  while (world.mailboxes.wait_for_mail(connection, name)) connection->generation = ++generation;
  EXPECT(generation > 10'000 && generation < 100'000);
  Connection* rejected = world.open(11, 1);
  EXPECT(!world.mailboxes.wait_for_mail(rejected, "b"));
  EXPECT(rejected->protocol == static_cast<uint8_t>(ProtocolId::kHttp));
  world.close(before);
  std::string frames;
  EXPECT(unit::run_until(world.loop.get(), [&] {
    frames += world.sent();
    return frames.find("nack 9.1;") != std::string::npos;
  }));
}
