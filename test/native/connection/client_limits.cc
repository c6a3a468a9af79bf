// Tests of the counting of clients by address and user: no socket, and tables of this process.
#include "connection/client_limits.h"

#include <cstring>
#include <string>
#include <vector>

#include <netinet/in.h>

#include "support/fake_owner.h"
#include "support/fixture.h"
#include "support/unit.h"

using namespace megacomet;

namespace {

sockaddr_storage peer_of(const std::string& text) {
  sockaddr_storage peer{};
  IpAddress address;
  EXPECT(parse_ip(text, &address));
  if (address.is_ipv4()) {
    auto* four = reinterpret_cast<sockaddr_in*>(&peer);
    four->sin_family = AF_INET;
    std::memcpy(&four->sin_addr, address.bytes.data() + 12, 4);
  } else {
    auto* six = reinterpret_cast<sockaddr_in6*>(&peer);
    six->sin6_family = AF_INET6;
    std::memcpy(&six->sin6_addr, address.bytes.data(), 16);
  }
  return peer;
}

IpAddress address_of(const std::string& text) {
  IpAddress address;
  EXPECT(parse_ip(text, &address));
  return address;
}

struct World {
  explicit World(frame::Limits settings = {}) {
    counters.attach(block.get());
    EXPECT(records.map(100));
    EXPECT(memory.create("limits"));
    EXPECT(limits.configure(settings, memory->limits));
    EXPECT(limits.reserve_addresses(100));
  }
  ~World() {
    for (int fd = 0; fd < 100; ++fd) {
      if (records.at(fd)->state == ConnectionState::kFree) continue;
      limits.forget_address(*records.at(fd));
      records.release(fd);
    }
  }

  Allowance admit(const std::string& text, bool has_header = false) {
    return limits.admit(peer_of(text), has_header, &word);
  }
  /// A connection of a peer that was admitted last.
  Connection* open(int fd) {
    Connection* connection = owner.open(fd);
    connection->watcher.word = word;
    return connection;
  }
  [[nodiscard]] uint32_t counted(int set = 0) const {
    return memory->limits[set].addresses.total();
  }
  [[nodiscard]] uint64_t count(Counter counter) const { return counters.get(counter); }

  std::unique_ptr<Block> block = std::make_unique<Block>();
  Counters counters;
  Slab<Connection> records;
  unit::FakeOwner owner{&records};
  LoopOwner loop = make_loop();
  unit::DeafHandler handler;
  Control control{loop.get(), &handler};
  SharedPage<WorkersMemory> memory;
  ClientLimits limits{&control, &counters};
  uint32_t word = 0;
};

frame::Limits by_address(uint32_t connections, uint8_t flags = 0) {
  frame::Limits limits;
  limits.flags = limit_flag::kAddresses | flags;
  limits.address_connections = connections;
  return limits;
}

frame::Limits behind(const std::vector<std::string>& proxies, uint32_t connections = 1) {
  frame::Limits limits = by_address(connections);
  limits.trusted = proxies;
  return limits;
}

}  // namespace

TEST("a server without limits looks at no address and counts nothing") {
  World world;
  EXPECT(!world.limits.needs_peer() && !world.limits.counts_users());
  EXPECT(world.admit("192.0.2.1") == Allowance::kGranted);
  EXPECT_EQUAL(world.word, 0U);
  EXPECT_EQUAL(world.counted(), 0U);
}

TEST("an address has a limit of connections, and room again after one has left") {
  World world(by_address(2));
  EXPECT(world.limits.needs_peer());
  EXPECT(world.admit("192.0.2.1") == Allowance::kGranted);
  Connection* first = world.open(5);
  EXPECT(world.admit("192.0.2.1") == Allowance::kGranted);
  EXPECT(world.admit("192.0.2.1") == Allowance::kTooMany);
  EXPECT(world.admit("192.0.2.2") == Allowance::kGranted);
  EXPECT_EQUAL(world.count(Counter::kLimitedConnectionsTotal), 1U);
  EXPECT_EQUAL(world.counted(), 3U);
  world.limits.leave(first);
  world.limits.leave(first);
  EXPECT_EQUAL(world.counted(), 2U);
  EXPECT(world.admit("192.0.2.1") == Allowance::kGranted);
  world.limits.give_back(world.word);
  EXPECT_EQUAL(world.counted(), 2U);
}

TEST("a network of 64 bits counts as one address, and a mapped address as IPv4") {
  World world(by_address(1));
  EXPECT(world.admit("2001:db8::1") == Allowance::kGranted);
  EXPECT(world.admit("2001:db8::ffff:1") == Allowance::kTooMany);
  EXPECT(world.admit("2001:db8:0:1::1") == Allowance::kGranted);
  EXPECT(world.admit("192.0.2.1") == Allowance::kGranted);
  EXPECT(world.admit("::ffff:192.0.2.1") == Allowance::kTooMany);
}

TEST("limits that the server chose itself hold for public addresses alone") {
  World world(by_address(1, limit_flag::kPublicConnections | limit_flag::kPublicHandshakes));
  for (int count = 0; count < 3; ++count) {
    EXPECT(world.admit("10.0.0.1") == Allowance::kGranted);
    EXPECT(world.admit("127.0.0.1") == Allowance::kGranted);
  }
  // Loopback is not even counted.
  EXPECT_EQUAL(world.counted(), 3U);
  EXPECT(world.admit("192.0.2.1") == Allowance::kGranted);
  EXPECT(world.admit("192.0.2.1") == Allowance::kTooMany);
}

TEST("an address that connects too often is rejected, and that connection does not count") {
  frame::Limits settings = by_address(0);
  settings.address_handshake_rate = 1;
  World world(settings);
  uint32_t granted = 0;
  // The clock goes on, so the second one may be allowed.
  while (granted < 1'000'000 && world.admit("192.0.2.1") == Allowance::kGranted) ++granted;
  EXPECT(granted > 0);
  EXPECT_EQUAL(world.count(Counter::kLimitedHandshakesTotal), 1U);
  EXPECT_EQUAL(world.counted(), granted);
  EXPECT(rejection_of(Allowance::kTooFast) == Rejection::kTooFast);
  EXPECT(rejection_of(Allowance::kTooMany) == Rejection::kTooMany);
}

TEST("a trusted proxy has no limit, and its connection counts for the client of each request") {
  World world(behind({"198.51.100.0/24"}));
  EXPECT(world.admit("198.51.100.7") == Allowance::kGranted);
  Connection* one = world.open(5);
  EXPECT(world.admit("198.51.100.7") == Allowance::kGranted);
  Connection* other = world.open(6);
  EXPECT(ClientLimits::is_of_proxy(*one));
  EXPECT_EQUAL(world.counted(), 0U);
  EXPECT(world.limits.change(one, address_of("192.0.2.1")) == Allowance::kGranted);
  EXPECT(world.limits.host_of(*one) == "192.0.2.1");
  EXPECT(world.limits.change(other, address_of("192.0.2.1")) == Allowance::kTooMany);
  EXPECT_EQUAL(world.counted(), 1U);
  // The next request of the connection is of another client.
  EXPECT(world.limits.change(one, address_of("192.0.2.2")) == Allowance::kGranted);
  EXPECT(world.limits.change(other, address_of("192.0.2.1")) == Allowance::kGranted);
  world.limits.end_request(one);
  EXPECT_EQUAL(world.counted(), 1U);
  EXPECT(ClientLimits::is_of_proxy(*one));
}

TEST("a PROXY header counts only from a trusted proxy, which a client in it may be as well") {
  World world(behind({"198.51.100.7", "203.0.113.0/24"}));
  EXPECT(world.admit("192.0.2.1", true) == Allowance::kUntrusted);
  EXPECT(world.admit("198.51.100.7", true) == Allowance::kGranted);
  Connection* one = world.open(5);
  EXPECT(world.limits.reveal(one, address_of("203.0.113.1")) == Allowance::kGranted);
  EXPECT(ClientLimits::is_of_proxy(*one));
  EXPECT(world.limits.change(one, address_of("192.0.2.1")) == Allowance::kGranted);
  EXPECT(world.admit("198.51.100.7", true) == Allowance::kGranted);
  Connection* other = world.open(6);
  EXPECT(world.limits.reveal(other, address_of("192.0.2.2")) == Allowance::kGranted);
  EXPECT(!ClientLimits::is_of_proxy(*other));
  EXPECT_EQUAL(world.counted(), 2U);
  // A client that is not a proxy says nothing of others.
  world.limits.end_request(other);
  EXPECT_EQUAL(world.counted(), 2U);
}

TEST("a unix socket is trusted where the settings say so") {
  sockaddr_storage peer{};
  peer.ss_family = AF_UNIX;
  uint32_t word = 0;
  World trusting(behind({"unix"}));
  EXPECT(trusting.limits.needs_peer());
  EXPECT(trusting.limits.admit(peer, true, &word) == Allowance::kGranted);
  EXPECT_EQUAL(word, ClientLimits::kOfProxy);
  World other(by_address(1));
  EXPECT(other.limits.admit(peer, false, &word) == Allowance::kGranted);
  EXPECT_EQUAL(word, 0U);
  EXPECT(other.limits.admit(peer, true, &word) == Allowance::kUntrusted);
}

TEST("a user has a limit of connections, and none of another name or kind has its row") {
  frame::Limits settings = by_address(1);
  settings.user_connections = 2;
  World world(settings);
  EXPECT(world.limits.counts_users());
  EXPECT(world.limits.enter_user("ada") && world.limits.enter_user("ada"));
  EXPECT(!world.limits.enter_user("ada"));
  EXPECT_EQUAL(world.count(Counter::kLimitedUsersTotal), 1U);
  EXPECT(world.limits.enter_user("Ada"));
  EXPECT_EQUAL(world.counted(), 0U);
  world.limits.leave_user("ada");
  world.limits.leave_user("nobody");
  EXPECT(world.limits.enter_user("ada") && !world.limits.enter_user("ada"));
  // A connection that was allowed before counts above the limit too.
  world.limits.recount_user("ada");
  world.limits.leave_user("ada");
  EXPECT(!world.limits.enter_user("ada"));
}

TEST("the messages of a user have a rate, over all its connections") {
  frame::Limits settings;
  settings.user_publish_rate = 1;
  World world(settings);
  EXPECT(world.limits.counts_users());
  EXPECT(world.limits.take_publish("unknown") && world.limits.take_publish("unknown"));
  EXPECT(world.limits.enter_user("ada"));
  uint32_t taken = 0;
  while (taken < 1'000'000 && world.limits.take_publish("ada")) ++taken;
  EXPECT(taken > 0);
  EXPECT_EQUAL(world.count(Counter::kLimitedUserPublishesTotal), 1U);
}

TEST(
    "a recount enters the open connections into the other set of tables, above the limit as well") {
  World world(by_address(2));
  for (const int fd : {5, 6}) {
    EXPECT(world.admit("192.0.2.1") == Allowance::kGranted);
    world.open(fd);
  }
  EXPECT(world.admit("192.0.2.2") == Allowance::kGranted);
  Connection* other = world.open(7);
  world.limits.recount(1, &world.records);
  EXPECT_EQUAL(world.counted(1), 3U);
  EXPECT(world.admit("192.0.2.1") == Allowance::kTooMany);
  world.limits.leave(other);
  EXPECT_EQUAL(world.counted(1), 2U);
  EXPECT_EQUAL(world.counted(0), 3U);
}

TEST("settings with a network that cannot be read, or with a third set of tables, are rejected") {
  const auto is_valid = [](const frame::Limits& settings) {
    World world;
    return world.limits.configure(settings, world.memory->limits);
  };
  EXPECT(is_valid(behind({"198.51.100.0/24", "2001:db8::/32", "unix"})));
  for (const char* text : {"198.51.100.0/33", "proxy", ""}) EXPECT(!is_valid(behind({text})));
  frame::Limits settings;
  settings.tables = 2;
  EXPECT(!is_valid(settings));
}
