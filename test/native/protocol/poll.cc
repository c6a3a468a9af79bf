// Tests of polls over HTTP, without sockets.
#include "protocol/poll.h"

#include <string>

#include "support/hub_parts.h"
#include "support/unit.h"
#include "worker/protocol_table.h"

using namespace megacomet;
using unit::FakeSocket;
using unit::HubParts;

namespace {

constexpr auto kHttp = static_cast<uint8_t>(ProtocolId::kHttp);

struct World {
  World() {
    rules.write_timeout_s = HubParts::kWriteS;
    rules.handshake_timeout_s = 20;
    rules.keep_alive_timeout_s = 40;
    rules.http_head_bytes_max = 16'384;
    rules.http_fields_max = 64;
    rules.poll_timeout_s = 50;
    rules.channels_per_connection_max = 10;
    parts.services.rules = &rules;
    parts.services.input_budget = &parts.input_budget;
    parts.channels.at(parts.channels.open("a")).is_live = true;
    connection = parts.open(1);
    connection->protocol = kHttp;
  }

  /// The client's request arrives.
  void request(const std::string& path) {
    std::string bytes = "GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n";
    kProtocols[connection->protocol]->on_bytes(
        parts.services, connection, reinterpret_cast<uint8_t*>(bytes.data()), bytes.size());
  }

  frame::Comet rules;
  HubParts parts{kProtocols};
  Connection* connection;
};

}  // namespace

TEST("a poll waits for its timeout, and its answered connection for the next request") {
  World world;
  world.request("/poll?channel=a");
  EXPECT_EQUAL(world.connection->deadline, world.rules.poll_timeout_s);
  EXPECT_EQUAL(world.parts.count(Counter::kSubscriptions), 1U);
  world.parts.publish(1, "a");
  EXPECT(FakeSocket::sent[1].substr(0, 15) == "HTTP/1.1 200 OK");
  EXPECT_EQUAL(world.connection->deadline, world.rules.keep_alive_timeout_s);
  EXPECT_EQUAL(world.parts.count(Counter::kSubscriptions), 0U);
  EXPECT(world.connection->state == ConnectionState::kOpen && world.connection->protocol == kHttp);
}

TEST("a poll that is answered while its connection is blocked has the write timeout") {
  World world;
  FakeSocket::room[1] = 0;
  world.request("/unknown");
  EXPECT(world.connection->is_blocked);
  world.request("/poll?channel=a");
  EXPECT_EQUAL(world.connection->deadline, world.rules.poll_timeout_s);
  world.parts.publish(1, "a");
  EXPECT(world.connection->protocol == kHttp);
  EXPECT_EQUAL(world.connection->deadline, world.rules.write_timeout_s);
  EXPECT_EQUAL(world.parts.count(Counter::kSubscriptions), 0U);
}
