// Tests of accepted connections over real sockets: echo, slow peers, ends, memory, deadlines.
#include "connection/transport.h"

#include <string>

#include <sys/socket.h>

#include "connection/sweep.h"
#include "os/sys.h"
#include "support/fixture.h"
#include "support/unit.h"

using namespace megacomet;
using unit::Client;
using unit::ListeningSocket;
using unit::World;

namespace {

std::string random_bytes(size_t size) {
  std::string bytes(size, ' ');
  for (char& byte : bytes) byte = static_cast<char>(unit::upto(255));
  return bytes;
}

/// Writes a random part as far as the socket accepts it. Does not wait.
size_t write_some(const Client& client, const std::string& bytes, size_t from) {
  const size_t size = std::min(bytes.size() - from, size_t{1} + unit::upto(100'000));
  const ssize_t written = ::send(client.fd(), bytes.data() + from, size, MSG_DONTWAIT);
  return written > 0 ? static_cast<size_t>(written) : 0;
}

}  // namespace

TEST("two megabytes are echoed byte for byte through short writes") {
  World world;
  const ListeningSocket listener;
  const auto client = world.register_one(listener);
  const int few = 16'384;
  ::setsockopt(world.only()->fd(), SOL_SOCKET, SO_SNDBUF, &few, sizeof few);
  const std::string sent = random_bytes(size_t{2} << 20U);
  std::string received;
  size_t written = 0;
  const auto has_all = [&] {
    written += written < sent.size() ? write_some(*client, sent, written) : 0;
    // The peer reads rarely until everything is written.
    if (written == sent.size() || unit::upto(40) == 0) received += client->read_now();
    return received.size() == sent.size();
  };
  EXPECT(unit::run_until(world.loop.get(), has_all));
  EXPECT(received == sent);
  EXPECT(world.count(Counter::kShortWritesTotal) > 0);
  EXPECT_EQUAL(world.count(Counter::kBytesReceivedTotal), sent.size());
  EXPECT_EQUAL(world.count(Counter::kBytesSentTotal), sent.size());
  EXPECT_EQUAL(world.count(Counter::kSendQueueConnections), 0U);
  EXPECT_EQUAL(world.count(Counter::kSendQueueBytes), 0U);
  EXPECT(world.only() != nullptr && world.only()->state == ConnectionState::kOpen);
  EXPECT_EQUAL(world.count(Counter::kSessions), 0U);
}

TEST("a peer that never reads is not read, and queues at most one read") {
  World world;
  const ListeningSocket listener;
  const auto client = world.register_one(listener);
  const std::string noise(size_t{32} << 20U, 'x');
  size_t written = 0;
  for (int iteration = 0; iteration < 2000; ++iteration) {
    written += write_some(*client, noise, std::min(written, noise.size() - 1));
    ev_run(world.loop.get(), EVRUN_NOWAIT);
  }
  EXPECT_EQUAL(world.count(Counter::kSendQueueConnections), 1U);
  EXPECT(world.count(Counter::kSendQueueBytes) <= bounds::kReadBytesMax);
  EXPECT(written < noise.size());
  EXPECT(world.only()->is_busy() && world.only()->is_blocked);
  client->reset();
  EXPECT(world.reaches(Counter::kClosedResetTotal, 1));
  EXPECT_EQUAL(world.count(Counter::kSendQueueConnections), 0U);
  EXPECT_EQUAL(world.count(Counter::kSendQueueBytes), 0U);
}

TEST("a peer that ends its side receives all its bytes, then the end of our side") {
  World world;
  const ListeningSocket listener;
  const auto client = world.register_one(listener);
  client->write("last words");
  client->half_close();
  EXPECT(world.reaches(Counter::kClosedPeerTotal, 1));
  EXPECT(client->read_now() == "last words");
  EXPECT(client->has_end());
  EXPECT_EQUAL(world.count(Counter::kClosedTotal), 1U);
  EXPECT_EQUAL(world.count(Counter::kConnections), 0U);
}

TEST("a connection that its peer resets is counted as reset, and its record is used again") {
  World world;
  const ListeningSocket listener;
  for (uint32_t round = 1; round <= 20; ++round) {
    const auto client = world.register_one(listener);
    const Connection* connection = world.only();
    EXPECT_EQUAL(connection->generation, round);
    client->write("x");
    EXPECT(world.reaches(Counter::kEchoedTotal, round));
    client->reset();
    EXPECT(world.reaches(Counter::kClosedResetTotal, round));
    EXPECT(connection->state == ConnectionState::kFree);
  }
  EXPECT_EQUAL(world.transport->connections().size(), 0U);
  world.transport->tick(1);
}

TEST("a connection that epoll rejects is closed and counted as watch failed") {
  World world;
  const ListeningSocket listener;
  const auto client = world.register_one(listener);
  Connection* connection = world.only();
  // libev does this when epoll_ctl fails with ENOSPC or ENOMEM.
  ev_io_stop(world.loop.get(), &connection->watcher);
  ev_feed_event(world.loop.get(), &connection->watcher, EV_ERROR | EV_READ | EV_WRITE);
  EXPECT(world.reaches(Counter::kClosedWatchFailedTotal, 1));
  EXPECT(unit::run_until(world.loop.get(), [&] { return client->has_end(); }));
}

TEST("a changed idle timeout counts from now on for open connections") {
  World world;
  Sweep sweep(
      &world.transport->connections(), &world.transport->due_index(), world.transport.get());
  const ListeningSocket listener;
  const auto client = world.register_one(listener);
  const auto tick = [&](uint16_t now) {
    world.transport->tick(now);
    sweep.tick(now);
  };
  const auto set_timeout = [&](uint32_t seconds) {
    world.transport->set_idle_timeout(seconds);
    sweep.set_on(true);
  };
  // After half of the clock's range an old deadline looks like one in the future.
  for (const uint16_t now : {10'000, 20'000, 30'000, 40'000}) tick(now);
  set_timeout(4);
  for (uint16_t now = 40'001; now <= 40'004; ++now) tick(now);
  EXPECT_EQUAL(world.count(Counter::kClosedIdleTotal), 0U);
  set_timeout(8);
  for (uint16_t now = 40'005; now <= 40'012; ++now) tick(now);
  EXPECT_EQUAL(world.count(Counter::kClosedIdleTotal), 0U);
  for (uint16_t now = 40'013; now <= 40'015; ++now) tick(now);
  EXPECT_EQUAL(world.count(Counter::kClosedIdleTotal), 1U);
}

TEST("an idle timeout set to its old value changes no deadline") {
  World world;
  world.transport->set_idle_timeout(10);
  const ListeningSocket listener;
  const auto client = world.register_one(listener);
  world.transport->tick(5);
  world.transport->set_idle_timeout(10);
  EXPECT_EQUAL(world.only()->deadline, 10);
  client->write("x");
  EXPECT(world.reaches(Counter::kEchoedTotal, 1));
  EXPECT_EQUAL(world.only()->deadline, 15);
}

TEST("a destroyed transport frees queued output") {
  World world;
  const ListeningSocket listener;
  const auto client = world.register_one(listener);
  const std::string noise(size_t{1} << 20U, 'x');
  EXPECT(unit::run_until(world.loop.get(), [&] {
    write_some(*client, noise, 0);
    return world.count(Counter::kSendQueueConnections) == 1;
  }));
  // Otherwise the leak check at the end of the program fails.
}

TEST("registering a descriptor whose record is in use aborts") {
  World world;
  const ListeningSocket listener;
  const auto client = world.register_one(listener);
  const int fd = world.only()->fd();
  EXPECT(unit::aborts([&] { world.transport->register_fd(fd, 0); }));
}
