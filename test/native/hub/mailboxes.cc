// Tests of a worker's polls: one question and one word for each, whatever becomes of it.
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

  /// What the manager was told since the last call, as text.
  std::string told() {
    std::string text;
    control.flush();
    peer.receive([&](const FrameView& view) {
      frame::MailboxPoll take;
      frame::MailboxAck taken;
      frame::MailboxNack returned;
      if (view.type == static_cast<uint8_t>(FrameType::kMailboxPoll) && decode(view, &take)) {
        text += "take " + take.name + " " + place(take) + ";";
      } else if (view.type == static_cast<uint8_t>(FrameType::kMailboxAck) &&
                 decode(view, &taken)) {
        text += "taken " + place(taken) + ";";
      } else if (EXPECT(decode(view, &returned))) {
        text += "returned " + place(returned) + ";";
      }
    });
    return text;
  }

  template <typename Frame>
  static std::string place(const Frame& frame) {
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

TEST("a poll that gets its message whole is told as taken, at its end") {
  World world;
  Connection* connection = world.open(9, 4);
  EXPECT(world.mailboxes.take(connection, "jim"));
  EXPECT(world.told() == "take jim 9.4;");
  EXPECT(world.mailboxes.find(9, 4) == connection);
  Mailboxes::sent(connection);
  EXPECT(world.mailboxes.find(9, 4) == nullptr);
  EXPECT(world.told().empty());
  world.mailboxes.leave(connection);
  world.close(connection);
  EXPECT(world.told() == "taken 9.4;");
}

TEST("a poll that ends while its message waits in the outbox is told as returned") {
  World world;
  Connection* connection = world.open(9, 4);
  EXPECT(world.mailboxes.take(connection, "jim"));
  const auto session = std::make_unique<Session>();
  connection->state = ConnectionState::kBusy;
  connection->session = session.get();
  session->send_queue.append(make_payload("rest of it"), 8, false);
  Mailboxes::sent(connection);
  world.close(connection);
  EXPECT(world.told() == "take jim 9.4;returned 9.4;");
}

TEST("a poll that leaves or ends without a message is told once") {
  World world;
  Connection* left = world.open(9, 4);
  Connection* ended = world.open(10, 5);
  EXPECT(world.mailboxes.take(left, "a"));
  EXPECT(world.mailboxes.take(ended, "b"));
  world.mailboxes.leave(left);
  EXPECT(world.mailboxes.find(9, 4) == nullptr);
  world.mailboxes.leave(left);
  world.close(left);
  world.close(ended);
  EXPECT(world.told() == "take a 9.4;take b 10.5;returned 9.4;returned 10.5;");
}

TEST("other connections, other generations and other places are no polls") {
  World world;
  Connection* other = world.open(9, 4);
  other->protocol = static_cast<uint8_t>(ProtocolId::kWebSocket);
  // The window of its compression stands where a poll has its own state.
  for (uint8_t mode = 0; mode < 16; ++mode) {
    other->mode = mode & 0xfU;
    EXPECT(world.mailboxes.find(9, 4) == nullptr);
    world.mailboxes.leave(other);
    world.mailboxes.on_close(other);
  }
  EXPECT(world.told().empty());
  EXPECT(unit::aborts([&] { Mailboxes::sent(other); }));
  EXPECT(world.mailboxes.take(world.open(10, 5), "a"));
  EXPECT(world.mailboxes.find(10, 4) == nullptr);
  EXPECT(world.mailboxes.find(11, 5) == nullptr);
  EXPECT(world.mailboxes.find(0, 0) == nullptr);
  EXPECT(world.mailboxes.find(UINT32_MAX, 5) == nullptr);
}

TEST("while the manager does not read no poll is taken on, and the others are still told") {
  World world;
  Connection* before = world.open(9, 1);
  EXPECT(world.mailboxes.take(before, "a"));
  const std::string name(bounds::kChannelBytesMax, 'x');
  uint32_t generation = 2;
  Connection* connection = world.open(10, generation);
  while (world.mailboxes.take(connection, name)) connection->generation = ++generation;
  EXPECT(generation > 10'000 && generation < 100'000);
  Connection* refused = world.open(11, 1);
  EXPECT(!world.mailboxes.take(refused, "b"));
  EXPECT(refused->protocol == static_cast<uint8_t>(ProtocolId::kHttp));
  world.close(before);
  std::string told;
  EXPECT(unit::run_until(world.loop.get(), [&] {
    told += world.told();
    return told.find("returned 9.1;") != std::string::npos;
  }));
}
