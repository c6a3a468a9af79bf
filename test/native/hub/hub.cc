// Tests of a comet server's connections over real sockets, without a manager.
#include "hub/hub.h"

#include <string>

#include "connection/sweep.h"
#include "protocol/echo.h"
#include "protocol/http.h"
#include "support/fixture.h"
#include "support/unit.h"

using namespace megacomet;
using unit::Client;
using unit::ListeningSocket;

namespace {

constexpr uint32_t kCapacity = 4096;
constexpr uint8_t kHttp = static_cast<uint8_t>(ProtocolId::kHttp);
constexpr const Protocol* kProtocols[] = {&kEchoProtocol, &kHttpProtocol};

constexpr char kRequest[] = "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n";

struct Quiet final : MidIterationHandler {
  void on_mid_iteration() override {}
};

/// The parts of a comet worker for connections that subscribe to nothing.
struct Comet {
  Comet() : control(loop.get(), &handler) {
    EXPECT(segment.create(1));
    counters.attach(&segment.block(0));
    admission.attach(&segment, 0);
    admission.set_limits(kCapacity, kCapacity, 0);
    EXPECT(transport.reserve(kCapacity));
    frame::Comet rules;
    rules.handshake_timeout_s = rules.write_timeout_s = 10;
    rules.send_queue_bytes_max = 65'536;
    rules.worker_send_queue_bytes_max = rules.worker_input_bytes_max = 1U << 20U;
    hub.configure(std::move(rules));
    transport.mid_iteration().set_handler(&quiet);
  }

  /// Registers a client that has written `request`, which may be empty.
  void register_fd(const Client& client, const std::string& request) {
    if (!request.empty()) client.write(request);
    EXPECT(unit::run_until(loop.get(), [&] { return accept(); }));
  }

  /// A client sends `count` requests and is answered, in a loop iteration that began at time 0.
  void hear(const Client& client, uint32_t count) {
    transport.mid_iteration().begin_iteration(0);
    for (; count > 0; --count) {
      client.write(kRequest);
      EXPECT(unit::run_until(loop.get(), [&] { return !client.read_now().empty(); }));
    }
  }

  LoopOwner loop = make_loop();
  Segment segment;
  Counters counters;
  Admission admission;
  unit::DeafHandler handler;
  Control control;
  Quiet quiet;
  Transport transport{loop.get(), &admission, &counters, kProtocols};
  Hub hub{&transport, &control, &counters};
  ListeningSocket socket;

 private:
  bool accept() {
    const sys::Accepted accepted = sys::accept(socket.fd());
    if (accepted.status != sys::AcceptStatus::kAccepted || !admission.enter()) return false;
    transport.register_fd(accepted.fd, kHttp);
    return true;
  }
};

}  // namespace

TEST("a client accepted during a long loop iteration is answered at once, and others later") {
  Comet comet;
  const Client first(comet.socket.port());
  comet.register_fd(first, kRequest);
  EXPECT_EQUAL(comet.counters.get(Counter::kRequestsTotal), 0U);
  EXPECT(unit::run_until(comet.loop.get(), [&] { return !first.read_now().empty(); }));
  // With the first request the number of events after which it reads the clock.
  comet.hear(first, bounds::kMidIterationEvents - 1);
  EXPECT_EQUAL(comet.counters.get(Counter::kRequestsTotal), bounds::kMidIterationEvents);
  const Client second(comet.socket.port());
  comet.register_fd(second, kRequest);
  EXPECT_EQUAL(comet.counters.get(Counter::kRequestsTotal), bounds::kMidIterationEvents + 1);
  EXPECT(!second.read_now().empty());
  // The next iteration is late too, and the one after that is not.
  comet.transport.mid_iteration().begin_iteration(sys::monotonic_ns());
  const Client third(comet.socket.port());
  comet.register_fd(third, kRequest);
  EXPECT(!third.read_now().empty());
  comet.transport.mid_iteration().begin_iteration(sys::monotonic_ns());
  const Client fourth(comet.socket.port());
  comet.register_fd(fourth, kRequest);
  EXPECT(fourth.read_now().empty());
}

TEST("a client that is silent or ends at once may be accepted during a long loop iteration") {
  Comet comet;
  const Client busy(comet.socket.port());
  comet.register_fd(busy, kRequest);
  comet.hear(busy, bounds::kMidIterationEvents);
  const Client silent(comet.socket.port());
  comet.register_fd(silent, "");
  EXPECT_EQUAL(comet.counters.get(Counter::kConnections), 2U);
  Client gone(comet.socket.port());
  gone.half_close();
  comet.register_fd(gone, "");
  EXPECT_EQUAL(comet.counters.get(Counter::kConnections), 2U);
  // The next client has its descriptor, and is watched.
  const Client next(comet.socket.port());
  comet.register_fd(next, std::string(kRequest).substr(0, 10));
  EXPECT_EQUAL(comet.counters.get(Counter::kConnections), 3U);
  next.write(std::string(kRequest).substr(10));
  EXPECT(unit::run_until(comet.loop.get(), [&] { return !next.read_now().empty(); }));
}

TEST("a request that arrived in time but was not read is answered, and silent clients time out") {
  Comet comet;
  Sweep sweep(&comet.transport.connections(), &comet.transport);
  sweep.set_timeout(1);
  const auto pass_seconds = [&](uint16_t now) {
    comet.transport.tick(now);
    sweep.tick(now);
  };
  const Client prompt(comet.socket.port());
  const Client slow(comet.socket.port());
  const Client silent(comet.socket.port());
  comet.register_fd(prompt, kRequest);
  comet.register_fd(slow, std::string(kRequest).substr(0, 10));
  comet.register_fd(silent, "");
  pass_seconds(10);
  EXPECT_EQUAL(comet.counters.get(Counter::kConnections), 3U);
  // The loop has not run: only the sweep may read the sockets.
  EXPECT_EQUAL(comet.counters.get(Counter::kRequestsTotal), 0U);
  pass_seconds(11);
  EXPECT(!prompt.read_now().empty());
  EXPECT_EQUAL(comet.counters.get(Counter::kConnections), 1U);
  EXPECT_EQUAL(comet.counters.get(Counter::kClosedIdleTotal), 2U);
  pass_seconds(22);
  EXPECT_EQUAL(comet.counters.get(Counter::kConnections), 0U);
}
