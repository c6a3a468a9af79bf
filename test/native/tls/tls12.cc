// Tests of TLS 1.2, whose connections keep their object of OpenSSL, and of its limit.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "support/unit.h"
#include "tls/client_functions.h"
#include "tls/sealed_world.h"

using namespace megacomet;

namespace {

bool is_rejected(SealedWorld* world, const TlsClient::Options& options) {
  SealedPeer peer(world, options);
  return unit::run_until(world->loop.get(), [&] {
    EXPECT(!peer.tls.shake());
    peer.exchange();
    return peer.socket->has_end();
  });
}

}  // namespace

TEST("clients with TLS 1.2 beyond the limit are rejected, and others are served") {
  SealedWorld world(2);
  auto first = std::make_unique<SealedPeer>(&world, tls12());
  SealedPeer second(&world, tls12());
  EXPECT(first->shakes_hands());
  EXPECT(second.shakes_hands());
  EXPECT_EQUAL(world.count(Counter::kTls12Connections), 2U);
  EXPECT(is_rejected(&world, tls12()));
  EXPECT_EQUAL(world.count(Counter::kTls12RejectedTotal), 1U);
  SealedPeer newer(&world);
  EXPECT(newer.shakes_hands());
  first.reset();
  EXPECT(world.reaches(Counter::kTls12Connections, 1));
  SealedPeer third(&world, tls12());
  EXPECT(third.shakes_hands());
  for (SealedPeer* peer : {&second, &newer, &third}) {
    peer->tls.write("one");
    EXPECT(peer->read(3) == "one");
  }
  EXPECT_EQUAL(world.count(Counter::kTls12RejectedTotal), 1U);
  EXPECT_EQUAL(world.count(Counter::kTls12Connections), 2U);
}

TEST("handshakes with TLS 1.2 that go on at the same time stay within the limit") {
  SealedWorld world(3);
  std::vector<std::unique_ptr<SealedPeer>> peers;
  for (int count = 0; count < 8; ++count) {
    peers.push_back(std::make_unique<SealedPeer>(&world, tls12()));
    peers.back()->tls.shake();
  }
  // Each sends its first message in two parts: all have begun before the first is whole.
  std::vector<std::string> hellos;
  hellos.reserve(peers.size());
  for (const auto& peer : peers) hellos.push_back(peer->tls.sent());
  for (size_t index = 0; index < peers.size(); ++index) {
    peers[index]->socket->write(hellos[index].substr(0, 20));
  }
  EXPECT(world.reaches(Counter::kTlsHandshakes, peers.size()));
  for (size_t index = 0; index < peers.size(); ++index) {
    peers[index]->socket->write(hellos[index].substr(20));
  }
  EXPECT(world.reaches(Counter::kTls12RejectedTotal, peers.size() - 3));
  EXPECT_EQUAL(world.count(Counter::kTls12Connections), 3U);
  const auto done =
      std::count_if(peers.begin(), peers.end(), [](const std::unique_ptr<SealedPeer>& peer) {
        return !peer->socket->has_end() && peer->shakes_hands();
      });
  EXPECT_EQUAL(done, 3);
  // Those that leave during a handshake are not counted any more.
  peers.clear();
  EXPECT(world.reaches(Counter::kTls12Connections, 0));
}

TEST("without room for TLS 1.2 its clients receive the alert protocol_version") {
  SealedWorld world(0);
  EXPECT(is_rejected(&world, tls12()));
  SealedPeer peer(&world, tls12());
  peer.tls.shake();
  peer.socket->write(peer.tls.sent());
  EXPECT(world.reaches(Counter::kTls12RejectedTotal, 2));
  EXPECT(peer.socket->read_now() == std::string("\x15\x03\x03\0\x02\x02\x46", 7));
}

TEST("older versions are rejected even with room for TLS 1.2") {
  SealedWorld world(10);
  EXPECT(is_rejected(&world, {"TLS_AES_128_GCM_SHA256", TLS1_1_VERSION}));
  EXPECT_EQUAL(world.count(Counter::kTls12Connections), 0U);
}

TEST("a client with TLS 1.2 that negotiates again is closed, and others are served") {
  SealedWorld world;
  SealedPeer peer(&world, tls12());
  SealedPeer other(&world, tls12());
  EXPECT(peer.shakes_hands());
  EXPECT(other.shakes_hands());
  peer.tls.write("before");
  peer.tls.renegotiate();
  peer.exchange();
  EXPECT(world.reaches(Counter::kClosedTlsTotal, 1));
  EXPECT_EQUAL(world.count(Counter::kTlsRecordsRejectedTotal), 1U);
  EXPECT_EQUAL(world.count(Counter::kEchoedTotal), 1U);
  other.tls.write("others");
  EXPECT(other.read(6) == "others");
  EXPECT_EQUAL(world.count(Counter::kTls12Connections), 1U);
}

TEST("bytes that are not records of TLS 1.2 end the connection") {
  const std::vector<std::string> records = {std::string("\x17\x03\x03\0\0", 5),
                                            std::string("\x17\x03\x03\xff\xff", 5),
                                            std::string("\x18\x03\x03\0\x01x", 6),
                                            std::string("GET / HTTP/1.1\r\n"),
                                            std::string("\x14\x03\x03\0\x01\x01", 6)};
  for (const std::string& record : records) {
    SealedWorld world;
    SealedPeer peer(&world, tls12());
    EXPECT(peer.shakes_hands());
    peer.socket->write(record);
    EXPECT(world.reaches(Counter::kClosedTlsTotal, 1));
    EXPECT_EQUAL(world.count(Counter::kTls12Connections), 0U);
    EXPECT_EQUAL(world.count(Counter::kEchoedTotal), 0U);
  }
}
