// Tests of the TLS of the load generator: real sockets, and the transport of a worker.
#include "dialer/dialed_tls.h"

#include <memory>
#include <string>

#include <fcntl.h>
#include <sys/socket.h>

#include "support/fixture.h"
#include "support/unit.h"
#include "tls/sealed_world.h"
#include "tls/tls_client.h"

using namespace megacomet;

namespace {

frame::DialTls order_of(const std::string& host) {
  frame::DialTls order;
  order.verifies = 1;
  order.sends_name = 1;
  order.hosts = {host};
  order.authorities.bytes = test_certificate().chain;
  return order;
}

/// A connection of a dialer to an echo server.
struct DialedSocket {
  explicit DialedSocket(const frame::DialTls& order)
      : socket(world.register_one(world.listener, true)) {
    EXPECT(tls.configure(order).empty());
    EXPECT(tls.reserve(4096));
    EXPECT(::fcntl(fd(), F_SETFL, O_NONBLOCK) == 0);
  }

  [[nodiscard]] int fd() const { return socket->fd(); }

  /// Reads at most `piece` bytes at a time.
  HandshakeStatus shakes_hands(size_t piece = 65'536) {
    DialedTls::Step step = tls.begin(fd(), 0);
    unit::run_until(world.loop.get(), [&] {
      sys::send(fd(), step.output.data(), step.output.size());
      if (step.status != HandshakeStatus::kGoesOn) return true;
      step.output.clear();
      ev_run(world.loop.get(), EVRUN_NOWAIT);
      const sys::IoResult result = sys::receive(fd(), buffer, piece);
      if (result.bytes > 0) step = tls.shake(fd(), buffer, result.bytes);
      return false;
    });
    failure = step.failure.text;
    if (!step.rest.empty()) open(reinterpret_cast<uint8_t*>(step.rest.data()), step.rest.size());
    return step.status;
  }

  void open(uint8_t* bytes, size_t size) {
    const DialedTls::Input input = tls.read(fd(), bytes, size, 0);
    received.append(reinterpret_cast<const char*>(input.data), input.size);
    end = input.end;
  }

  /// Sends all, and reads until as many bytes have returned.
  bool echoes(const std::string& text, size_t piece = 65'536) {
    size_t sent = 0;
    received.clear();
    return unit::run_until(world.loop.get(), [&] {
      if (sent < text.size() || tls.is_blocked(fd())) {
        was_blocked = was_blocked || tls.is_blocked(fd());
        sent += tls.send(fd(), std::string_view(text).substr(sent)).bytes;
      }
      ev_run(world.loop.get(), EVRUN_NOWAIT);
      const sys::IoResult result = sys::receive(fd(), buffer, piece);
      if (result.bytes > 0) open(buffer, result.bytes);
      return received == text;
    });
  }

  SealedWorld world;
  DialedTls tls;
  std::unique_ptr<unit::Client> socket;
  std::string received;
  std::string failure;
  TlsEnd end = TlsEnd::kNone;
  bool was_blocked = false;
  uint8_t buffer[65'536];
};

}  // namespace

TEST("a dialed connection leaves OpenSSL and is echoed, however its bytes are split") {
  for (const size_t piece : {size_t{1}, size_t{100}, size_t{65'536}}) {
    DialedSocket dialed(order_of("localhost"));
    if (!EXPECT(dialed.shakes_hands(piece) == HandshakeStatus::kDone)) return;
    EXPECT(dialed.echoes("hello", piece));
    EXPECT(dialed.echoes(std::string(500, 'x'), piece));
  }
}

TEST("a dialed connection keeps sealed bytes that the kernel does not take") {
  DialedSocket dialed(order_of("localhost"));
  if (!EXPECT(dialed.shakes_hands() == HandshakeStatus::kDone)) return;
  const int few = 8'192;
  ::setsockopt(dialed.fd(), SOL_SOCKET, SO_SNDBUF, &few, sizeof few);
  std::string text(size_t{1} << 20U, '\0');
  for (char& byte : text) byte = static_cast<char>(unit::upto(255));
  EXPECT(dialed.echoes(text));
  EXPECT(dialed.was_blocked);
  EXPECT(!dialed.tls.is_blocked(dialed.fd()));
}

TEST("a descriptor that is used again begins with another handshake") {
  DialedSocket dialed(order_of("localhost"));
  if (!EXPECT(dialed.shakes_hands() == HandshakeStatus::kDone)) return;
  const int fd = dialed.fd();
  dialed.tls.forget(fd);
  dialed.socket.reset();
  dialed.socket = dialed.world.register_one(dialed.world.listener, true);
  EXPECT_EQUAL(dialed.fd(), fd);
  EXPECT(::fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
  EXPECT(dialed.shakes_hands() == HandshakeStatus::kDone);
  EXPECT(dialed.echoes("again"));
}

TEST("a certificate for another host ends the handshake with a reason") {
  DialedSocket dialed(order_of("example.com"));
  EXPECT(dialed.shakes_hands() == HandshakeStatus::kFailed);
  EXPECT(dialed.failure == "hostname mismatch");
  dialed.tls.forget(dialed.fd());
}

TEST("close_notify of the server is an orderly end") {
  DialedSocket dialed(order_of("localhost"));
  if (!EXPECT(dialed.shakes_hands() == HandshakeStatus::kDone)) return;
  // The server has the last message of the handshake.
  EXPECT(dialed.echoes("hello"));
  dialed.world.transport->close(dialed.world.only(), CloseCause::kDrain);
  unit::run_until(dialed.world.loop.get(), [&] {
    const sys::IoResult result = sys::receive(dialed.fd(), dialed.buffer, 65'536);
    if (result.bytes > 0) dialed.open(dialed.buffer, result.bytes);
    return dialed.end != TlsEnd::kNone;
  });
  EXPECT(dialed.end == TlsEnd::kClosed);
}

TEST("an order without hosts, or with authorities that are not PEM, is rejected") {
  DialedTls none;
  EXPECT(!none.configure(frame::DialTls{}).empty());
  DialedTls wrong;
  frame::DialTls order = order_of("localhost");
  order.authorities.bytes = "no certificate";
  EXPECT(!wrong.configure(order).empty());
  EXPECT(!wrong.is_on());
}
