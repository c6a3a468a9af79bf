// Tests of echo over TLS: real sockets, OpenSSL's client, and the transport of a worker.
#include "connection/tls_connections.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include <sys/socket.h>

#include "connection/sweep.h"
#include "support/unit.h"
#include "tls/sealed_world.h"

using namespace megacomet;

namespace {

/// A client with each version.
std::vector<TlsClient::Options> versions() {
  return {{}, tls12()};
}

}  // namespace

TEST("a client with TLS is echoed, and idle it has its record and its secrets alone") {
  for (const TlsClient::Options& options : versions()) {
    SealedWorld world;
    SealedPeer peer(&world, options);
    EXPECT(peer.shakes_hands());
    for (const char* text : {"one", "two", "three"}) {
      peer.tls.write(text);
      EXPECT(peer.read(std::string(text).size()) == text);
    }
    EXPECT(world.is_idle());
    EXPECT_EQUAL(world.count(Counter::kTlsHandshakesTotal), 1U);
    EXPECT_EQUAL(world.count(Counter::kEchoedTotal), 3U);
  }
}

TEST("a megabyte is echoed byte for byte through short writes of records") {
  for (const TlsClient::Options& options : versions()) {
    SealedWorld world;
    SealedPeer peer(&world, options);
    EXPECT(peer.shakes_hands());
    const int few = 8'192;
    ::setsockopt(world.only()->fd(), SOL_SOCKET, SO_SNDBUF, &few, sizeof few);
    std::string sent(size_t{1} << 20U, '\0');
    for (char& byte : sent) byte = static_cast<char>(unit::upto(255));
    std::string received;
    std::string pending;
    size_t at = 0;
    const bool is_whole = unit::run_until(world.loop.get(), [&] {
      if (pending.empty() && at < sent.size()) {
        const size_t size = std::min(sent.size() - at, 1 + unit::upto(40'000));
        peer.tls.write(std::string_view(sent).substr(at, size));
        at += size;
        pending = peer.tls.sent();
      }
      const ssize_t written = ::send(
          peer.socket->fd(), pending.data(), std::min<size_t>(pending.size(), 3'000), MSG_DONTWAIT);
      if (written > 0) pending.erase(0, static_cast<size_t>(written));
      ev_run(world.loop.get(), EVRUN_NOWAIT);
      // The peer reads rarely while it writes.
      if (at == sent.size() || unit::upto(50) == 0) {
        peer.tls.receive(peer.socket->read_now());
        received += peer.tls.read();
      }
      return received.size() >= sent.size();
    });
    EXPECT(is_whole && received == sent);
    EXPECT(world.count(Counter::kShortWritesTotal) > 0);
    EXPECT(world.is_idle());
  }
}

TEST("records are read in pieces of any size") {
  for (const TlsClient::Options& options : versions()) {
    SealedWorld world;
    SealedPeer peer(&world, options);
    EXPECT(peer.shakes_hands());
    peer.tls.write("in");
    peer.tls.write("pieces");
    for (const char byte : peer.tls.sent()) {
      peer.socket->write(std::string(1, byte));
      ev_run(world.loop.get(), EVRUN_NOWAIT);
    }
    EXPECT(peer.read(8) == "inpieces");
    EXPECT_EQUAL(world.count(Counter::kInputBudgetBytes), 0U);
    EXPECT(world.is_idle());
  }
}

TEST("close_notify of the client ends the connection, and is answered") {
  for (const TlsClient::Options& options : versions()) {
    SealedWorld world;
    SealedPeer peer(&world, options);
    EXPECT(peer.shakes_hands());
    peer.tls.write("last");
    peer.tls.shut_down();
    peer.exchange();
    EXPECT(world.reaches(Counter::kClosedPeerTotal, 1));
    EXPECT(peer.read(4) == "last");
    EXPECT(peer.tls.has_close_notify());
  }
}

TEST("an altered record ends the connection with an alert and a counter") {
  for (const TlsClient::Options& options : versions()) {
    SealedWorld world;
    SealedPeer peer(&world, options);
    EXPECT(peer.shakes_hands());
    peer.tls.write("text");
    std::string record = peer.tls.sent();
    record.back() = static_cast<char>(record.back() ^ 1);
    peer.socket->write(record);
    EXPECT(world.reaches(Counter::kClosedTlsTotal, 1));
    EXPECT_EQUAL(world.count(Counter::kTlsRecordsRejectedTotal), 1U);
    EXPECT_EQUAL(world.count(Counter::kEchoedTotal), 0U);
    // An alert: header, two bytes, type and tag, or in TLS 1.2 number and tag.
    const bool is_tls12 = options.version_max == TLS1_2_VERSION;
    EXPECT_EQUAL(peer.socket->read_now().size(), is_tls12 ? 31U : 24U);
  }
}

TEST("plain HTTP at a listener with TLS is answered with 400, and others go on") {
  SealedWorld world;
  SealedPeer peer(&world);
  const std::vector<std::string> requests = {
      "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * HTTP/1.1\r\n\r\n", "P", "CONNECT a:1"};
  for (const std::string& request : requests) {
    const auto plain = world.register_one(world.listener, true);
    plain->write(request);
    std::string answer;
    EXPECT(unit::run_until(world.loop.get(), [&] {
      answer += plain->read_now();
      return plain->has_end();
    }));
    EXPECT(answer.find("HTTP/1.1 400 Bad Request\r\n") == 0);
    EXPECT(answer.find("\r\nConnection: close\r\n") != std::string::npos);
    EXPECT(answer.find("this port speaks TLS; use https or wss") != std::string::npos);
  }
  EXPECT_EQUAL(world.count(Counter::kPlainAtTlsTotal), requests.size());
  EXPECT_EQUAL(world.count(Counter::kForeignProtocolTotal), requests.size());
  EXPECT_EQUAL(world.count(Counter::kClosedRejectedTotal), requests.size());
  EXPECT_EQUAL(world.count(Counter::kTlsHandshakesFailedTotal), 0U);
  EXPECT(peer.shakes_hands());
}

TEST("other bytes at a listener with TLS close the connection without an answer") {
  SealedWorld world;
  const std::vector<std::string> beginnings = {"SSH-2.0-x\r\n",
                                               "PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n",
                                               "get / http/1.1\r\n",
                                               std::string("\0\1\2", 3),
                                               "\xff"};
  for (const std::string& bytes : beginnings) {
    const auto stranger = world.register_one(world.listener, true);
    stranger->write(bytes);
    EXPECT(unit::run_until(world.loop.get(), [&] { return stranger->has_end(); }));
  }
  EXPECT_EQUAL(world.count(Counter::kClosedTlsTotal), beginnings.size());
  EXPECT_EQUAL(world.count(Counter::kForeignProtocolTotal), beginnings.size());
  EXPECT_EQUAL(world.count(Counter::kPlainAtTlsTotal), 0U);
}

TEST("a peer that says nothing has no handshake, and closes at the deadline") {
  SealedWorld world;
  const auto silent = world.register_one(world.listener, true);
  EXPECT_EQUAL(world.count(Counter::kTlsHandshakes), 0U);
  Sweep sweep(
      &world.transport->connections(), &world.transport->due_index(), world.transport.get());
  sweep.set_on(true);
  for (uint16_t now = 1; now < bounds::kTlsHandshakeSeconds + 4; ++now) {
    world.transport->tick(now);
    sweep.tick(now);
  }
  EXPECT_EQUAL(world.count(Counter::kClosedTlsTotal), 1U);
}

TEST("handshakes beyond the limit wait, and begin when others end") {
  SealedWorld world;
  std::vector<std::unique_ptr<SealedPeer>> begun;
  for (size_t count = 0; count < bounds::kTlsHandshakesMax; ++count) {
    begun.push_back(std::make_unique<SealedPeer>(&world));
    begun.back()->socket->write("\x16");
  }
  EXPECT(world.reaches(Counter::kTlsHandshakes, bounds::kTlsHandshakesMax));
  SealedPeer last(&world);
  last.tls.shake();
  for (int round = 0; round < 20; ++round) last.exchange();
  EXPECT_EQUAL(world.count(Counter::kTlsHandshakes), bounds::kTlsHandshakesMax);
  begun.resize(begun.size() / 2);
  EXPECT(last.shakes_hands());
  last.tls.write("late");
  EXPECT(last.read(4) == "late");
}

TEST("peers that wait for a handshake begin in their order, one for each that ends, in time") {
  SealedWorld world;
  std::vector<std::unique_ptr<SealedPeer>> begun;
  for (size_t count = 0; count < bounds::kTlsHandshakesMax; ++count) {
    begun.push_back(std::make_unique<SealedPeer>(&world));
    begun.back()->socket->write("\x16");
  }
  EXPECT(world.reaches(Counter::kTlsHandshakes, bounds::kTlsHandshakesMax));
  constexpr size_t kWaiting = 8;
  std::vector<std::unique_ptr<SealedPeer>> waiting;
  for (size_t count = 1; count <= kWaiting; ++count) {
    waiting.push_back(std::make_unique<SealedPeer>(&world));
    waiting.back()->tls.shake();
    waiting.back()->exchange();
    EXPECT(world.reaches(Counter::kTlsHandshakesDelayedTotal, count));
  }
  // Later the clock is near their deadline, and they get no other.
  world.transport->tick(bounds::kTlsHandshakeSeconds - 1);
  for (size_t ended = 0; ended < kWaiting / 2; ++ended) begun.pop_back();
  EXPECT(world.reaches(Counter::kClosedTotal, kWaiting / 2));
  for (int round = 0; round < 20; ++round) ev_run(world.loop.get(), EVRUN_NOWAIT);
  EXPECT_EQUAL(world.count(Counter::kTlsHandshakes), bounds::kTlsHandshakesMax);
  EXPECT_EQUAL(world.count(Counter::kTlsHandshakesDelayedTotal), kWaiting);
  for (size_t index = 0; index < kWaiting; ++index) {
    const bool is_answered = !waiting[index]->socket->read_now().empty();
    EXPECT_EQUAL(is_answered, index < kWaiting / 2);
  }
  Sweep sweep(
      &world.transport->connections(), &world.transport->due_index(), world.transport.get());
  sweep.set_on(true);
  const auto late = static_cast<uint16_t>(bounds::kTlsHandshakeSeconds + 2);
  world.transport->tick(late);
  sweep.tick(late);
  EXPECT_EQUAL(world.count(Counter::kConnections), 0U);
  EXPECT_EQUAL(world.count(Counter::kTlsHandshakes), 0U);
  SealedPeer next(&world);
  EXPECT(next.shakes_hands());
}

TEST("a client that asks for small records receives small ones") {
  for (TlsClient::Options options : versions()) {
    options.record_bytes_max = 512;
    SealedWorld world;
    SealedPeer peer(&world, options);
    EXPECT(peer.shakes_hands());
    const std::string text(40'000, 'x');
    for (size_t at = 0; at < text.size(); at += 500) {
      peer.tls.write(std::string_view(text).substr(at, 500));
    }
    EXPECT(peer.read(text.size()) == text);
  }
}
