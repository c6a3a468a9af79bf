// Tests of the load generator's engine against listeners in the same loop: an echo server, and
// servers that answer late, wrongly or not at all.
#include "dialer/dialer.h"

#include <array>
#include <cerrno>
#include <memory>
#include <string>
#include <utility>

#include <sys/socket.h>

#include "connection/listener.h"
#include "os/sys.h"
#include "support/fixture.h"
#include "support/unit.h"

using namespace megacomet;
using unit::ListeningSocket;

namespace {

/// A dialer, its control stream, and its latest reports.
struct Dialing {
  Dialing() : control(loop(), &handler), dialer(loop(), &control) {}

  struct ev_loop* loop() {
    return world.loop.get();
  }

  static frame::Dial order(uint32_t connections, uint16_t port, uint32_t timeout_s = 5) {
    frame::Dial order;
    order.connections = connections;
    order.connect_timeout_s = timeout_s;
    order.targets = {"127.0.0.1 " + std::to_string(port)};
    order.sources = {"127.0.0.1 0"};
    return order;
  }

  const char* dial(uint32_t connections, uint16_t port, uint32_t timeout_s = 5) {
    return dialer.dial(order(connections, port, timeout_s), sys::open_descriptors());
  }

  /// Runs the loop until the phase is reported as finished.
  bool finishes(DialPhase phase) {
    is_finished = false;
    return unit::run_until(loop(), [&] {
      control.flush();
      peer.receive([this](const FrameView& view) { take(view); });
      return is_finished && progress.phase == static_cast<uint8_t>(phase);
    });
  }

  void take(const FrameView& view) {
    if (decode(view, &progress) && view.type == static_cast<uint8_t>(frame::Progress::kType)) {
      is_finished = progress.finished != 0;
    } else if (view.type == static_cast<uint8_t>(frame::Failures::kType)) {
      EXPECT(decode(view, &failures));
    } else if (view.type == static_cast<uint8_t>(frame::Latency::kType)) {
      EXPECT(decode(view, &latency));
    } else if (view.type == static_cast<uint8_t>(frame::DeliveryTimes::kType)) {
      EXPECT(decode(view, &delivery));
    }
  }

  /// The count of one cause, of failed connects or of losses.
  static uint64_t count_of(const Numbers& pairs, int error) {
    for (size_t at = 0; at + 1 < pairs.size(); at += 2) {
      if (pairs[at] == static_cast<uint64_t>(error)) return pairs[at + 1];
    }
    return 0;
  }
  [[nodiscard]] uint64_t failures_of(int error) const { return count_of(failures.counts, error); }
  [[nodiscard]] uint64_t losses_of(int error) const { return count_of(failures.losses, error); }

  unit::World world;
  unit::ControlPeer peer;
  unit::DeafHandler handler;
  Control control;
  Dialer dialer;
  frame::Progress progress;
  frame::Failures failures;
  frame::Latency latency;
  frame::DeliveryTimes delivery;
  bool is_finished = false;
};

/// Runs in the dialer's loop.
struct EchoServer {
  explicit EchoServer(Dialing* dialing)
      : limits(&dialing->control, &dialing->world.counters),
        listener({dialing->loop(),
                  &dialing->world.admission,
                  dialing->world.transport.get(),
                  &dialing->control,
                  &dialing->world.counters,
                  &pressure,
                  &limits},
                 socket.fd(),
                 Ownership::kOwn,
                 0) {
    listener.watch(true);
  }
  ListeningSocket socket;
  AcceptPressure pressure;
  ClientLimits limits;
  Listener listener;
};

/// A server that accepts and sends only when the test calls it.
struct MuteServer {
  MuteServer() = default;
  MuteServer(const MuteServer&) = delete;
  MuteServer& operator=(const MuteServer&) = delete;
  ~MuteServer() { drop_all(); }
  void drop_all() {
    for (const int fd : fds) sys::close(fd);
    fds.clear();
  }
  void accept_all() {
    for (;;) {
      const sys::Accepted accepted = sys::accept(socket.fd());
      if (accepted.status != sys::AcceptStatus::kAccepted) return;
      fds.push_back(accepted.fd);
    }
  }
  /// The number of connections that sent a byte.
  [[nodiscard]] size_t requests() const {
    size_t count = 0;
    uint8_t byte = 0;
    for (const int fd : fds) count += ::recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1 ? 1 : 0;
    return count;
  }
  ListeningSocket socket;
  std::vector<int> fds;
};

}  // namespace

TEST("a dialer opens, verifies and exchanges, and its counts are consistent") {
  Dialing dialing;
  const EchoServer server(&dialing);
  EXPECT(dialing.dial(300, server.socket.port()) == nullptr);
  if (!EXPECT(dialing.finishes(DialPhase::kOpen))) return;
  EXPECT_EQUAL(dialing.progress.opened, 300U);
  EXPECT_EQUAL(dialing.progress.failed, 0U);
  dialing.dialer.verify({5000});
  if (!EXPECT(dialing.finishes(DialPhase::kVerify))) return;
  EXPECT_EQUAL(dialing.progress.answered, 300U);
  EXPECT_EQUAL(dialing.progress.wrong, 0U);
  EXPECT(dialing.latency.max_us >= dialing.latency.min_us);
  // Messages that no socket buffer takes whole.
  dialing.dialer.exchange({10, 1'000'000, 1000});
  if (!EXPECT(dialing.finishes(DialPhase::kExchange))) return;
  EXPECT(dialing.progress.messages > 0);
  EXPECT_EQUAL(dialing.progress.wrong, 0U);
  EXPECT_EQUAL(dialing.progress.lost, 0U);
  uint64_t counted = 0;
  for (size_t at = 1; at < dialing.latency.buckets.size(); at += 2) {
    counted += dialing.latency.buckets[at];
  }
  EXPECT_EQUAL(counted, dialing.progress.messages);
}

TEST("a dialer counts failed connects by their errno") {
  uint16_t port = 0;
  {
    const ListeningSocket gone;
    port = gone.port();
  }
  Dialing dialing;
  EXPECT(dialing.dial(20, port) == nullptr);
  if (!EXPECT(dialing.finishes(DialPhase::kOpen))) return;
  EXPECT_EQUAL(dialing.progress.opened, 0U);
  EXPECT_EQUAL(dialing.progress.failed, 20U);
  EXPECT_EQUAL(dialing.failures_of(ECONNREFUSED), 20U);
}

TEST("a dialer verifies at most its limit of connections at once, in any number of iterations") {
  Dialing dialing;
  MuteServer server;
  EXPECT(dialing.dial(200, server.socket.port()) == nullptr);
  if (!EXPECT(dialing.finishes(DialPhase::kOpen))) return;
  server.accept_all();
  EXPECT_EQUAL(server.fds.size(), 200U);
  dialing.dialer.verify({5000});
  unit::run_for(dialing.loop(), 100);
  EXPECT_EQUAL(server.requests(), bounds::kVerifyInFlightMax);
}

TEST("a dialer closes connections that do not answer in time, and counts them as lost") {
  Dialing dialing;
  MuteServer server;
  EXPECT(dialing.dial(3, server.socket.port()) == nullptr);
  if (!EXPECT(dialing.finishes(DialPhase::kOpen))) return;
  server.accept_all();
  dialing.dialer.verify({100});
  if (!EXPECT(dialing.finishes(DialPhase::kVerify))) return;
  EXPECT_EQUAL(dialing.progress.answered, 0U);
  EXPECT_EQUAL(dialing.progress.lost, 3U);
  EXPECT_EQUAL(dialing.losses_of(ETIMEDOUT), 3U);
}

TEST("a server that greets holds its connections, and fails the verification of each") {
  Dialing dialing;
  MuteServer server;
  EXPECT(dialing.dial(3, server.socket.port()) == nullptr);
  if (!EXPECT(dialing.finishes(DialPhase::kOpen))) return;
  server.accept_all();
  for (const int fd : server.fds) EXPECT_EQUAL(::send(fd, "220 hi", 6, 0), 6);
  unit::run_for(dialing.loop(), 50);
  EXPECT_EQUAL(dialing.progress.lost, 0U);
  dialing.dialer.verify({5000});
  if (!EXPECT(dialing.finishes(DialPhase::kVerify))) return;
  EXPECT_EQUAL(dialing.progress.asked, 3U);
  EXPECT_EQUAL(dialing.progress.wrong, 3U);
  EXPECT_EQUAL(dialing.progress.lost, 3U);
  EXPECT_EQUAL(dialing.losses_of(EBADMSG), 3U);
}

TEST("an exchange counts the connections without any echo") {
  Dialing dialing;
  MuteServer server;
  EXPECT(dialing.dial(3, server.socket.port()) == nullptr);
  if (!EXPECT(dialing.finishes(DialPhase::kOpen))) return;
  dialing.dialer.exchange({2, 10, 50});
  if (!EXPECT(dialing.finishes(DialPhase::kExchange))) return;
  EXPECT_EQUAL(dialing.progress.asked, 2U);
  EXPECT_EQUAL(dialing.progress.silent, 2U);
  EXPECT_EQUAL(dialing.progress.messages, 0U);
}

TEST("a dialer rejects an echo that differs, one that is too long, and one without a message") {
  Dialing dialing;
  MuteServer server;
  EXPECT(dialing.dial(3, server.socket.port()) == nullptr);
  if (!EXPECT(dialing.finishes(DialPhase::kOpen))) return;
  server.accept_all();
  if (!EXPECT_EQUAL(server.fds.size(), 3U)) return;
  dialing.dialer.verify({5000});
  EXPECT(unit::run_until(dialing.loop(), [&] { return server.requests() == 3; }));
  std::array<uint8_t, 2> bytes{};
  for (const int fd : server.fds) EXPECT_EQUAL(::recv(fd, bytes.data(), 1, 0), 1);
  bytes[0] = static_cast<uint8_t>(~bytes[0]);
  EXPECT_EQUAL(::send(server.fds[2], bytes.data(), 1, 0), 1);
  EXPECT_EQUAL(::send(server.fds[0], bytes.data(), 2, 0), 2);
  EXPECT_EQUAL(::send(server.fds[1], bytes.data(), 2, 0), 2);
  if (!EXPECT(dialing.finishes(DialPhase::kVerify))) return;
  EXPECT_EQUAL(dialing.progress.wrong, 3U);
  EXPECT_EQUAL(dialing.progress.broken, 3U);
  EXPECT_EQUAL(dialing.losses_of(EBADMSG), 3U);
}

TEST("a dialer does not count a late echo of one phase in the next") {
  Dialing dialing;
  MuteServer server;
  EXPECT(dialing.dial(2, server.socket.port()) == nullptr);
  if (!EXPECT(dialing.finishes(DialPhase::kOpen))) return;
  server.accept_all();
  dialing.dialer.exchange({1, 8'000'000, 50});
  if (!EXPECT(dialing.finishes(DialPhase::kExchange))) return;
  EXPECT_EQUAL(dialing.progress.messages, 0U);
  dialing.dialer.verify({200});
  // The first bytes of a late echo of the message.
  const uint8_t late[] = {0, 31, 62};
  for (const int fd : server.fds) {
    if (::recv(fd, std::array<uint8_t, 8>().data(), 8, MSG_DONTWAIT) == 8) {
      EXPECT_EQUAL(::send(fd, late, sizeof late, MSG_NOSIGNAL), 3);
    }
  }
  if (!EXPECT(dialing.finishes(DialPhase::kVerify))) return;
  EXPECT_EQUAL(dialing.progress.wrong, 0U);
  EXPECT_EQUAL(dialing.progress.lost, 2U);
}

TEST("a dialer notices connections that the server closes or resets between phases") {
  Dialing dialing;
  MuteServer server;
  EXPECT(dialing.dial(2, server.socket.port()) == nullptr);
  if (!EXPECT(dialing.finishes(DialPhase::kOpen))) return;
  server.accept_all();
  sys::close(server.fds[0]);
  sys::reset(server.fds[1]);
  server.fds.clear();
  dialing.is_finished = true;
  EXPECT(unit::run_until(dialing.loop(), [&] {
    dialing.control.flush();
    dialing.peer.receive([&](const FrameView& view) { dialing.take(view); });
    return dialing.progress.lost == 2;
  }));
  EXPECT_EQUAL(dialing.progress.finished, 0);
}

TEST("a dialer opens no faster than its rate") {
  Dialing dialing;
  const ListeningSocket server;
  frame::Dial order;
  order.connections = 20;
  order.rate_milli = 50'000;
  order.connect_timeout_s = 5;
  order.targets = {"127.0.0.1 " + std::to_string(server.port())};
  order.sources = {"127.1.0.1 0", "127.1.0.2 0"};
  const uint64_t start_ns = sys::monotonic_ns();
  EXPECT(dialing.dialer.dial(order, sys::open_descriptors()) == nullptr);
  EXPECT(dialing.finishes(DialPhase::kOpen));
  EXPECT(sys::monotonic_ns() - start_ns >= 280'000'000);
  EXPECT_EQUAL(dialing.progress.opened, 20U);
}

TEST("a dialer rejects invalid addresses, and a second order to dial") {
  frame::Dial order;
  order.connections = 1;
  order.targets = {"localhost 80"};
  order.sources = {"127.0.0.1 0"};
  EXPECT(Dialing().dialer.dial(order, 10) != nullptr);
  order.targets = {"127.0.0.1 80"};
  order.sources = {};
  EXPECT(Dialing().dialer.dial(order, 10) != nullptr);
  Dialing dialing;
  const ListeningSocket server;
  EXPECT(dialing.dial(1, server.port()) == nullptr);
  EXPECT(dialing.dial(1, server.port()) != nullptr);
}

namespace {

frame::Subscribe subscribe_to(DialTransport transport) {
  frame::Subscribe order;
  order.transport = static_cast<uint8_t>(transport);
  order.awaits_cursor = 1;
  order.host = "localhost";
  order.channel = "c";
  return order;
}

/// Sends `text` on every connection that sent a request, and reiterations the requests.
std::string answer_all(MuteServer* server, const std::string& text) {
  std::string requests;
  server->accept_all();
  for (const int fd : server->fds) {
    char request[1024];
    const ssize_t size = ::recv(fd, request, sizeof request, MSG_DONTWAIT);
    if (size <= 0) continue;
    requests.append(request, static_cast<size_t>(size));
    EXPECT(sys::send(fd, text.data(), text.size()).bytes == text.size());
  }
  return requests;
}

size_t count_of(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; ++at) ++count;
  return count;
}

const std::string kSseHead = "HTTP/1.1 200 OK\r\n\r\nid: 0000000000000001.1\n\n";
const std::string kPollAnswer =
    "HTTP/1.1 200 OK\r\nMegacomet-Cursor: 0000000000000001.2\r\nContent-Length: 63\r\n\r\n"
    "{\"messages\":[],\"cursor\":\"0000000000000001.2\",\"recovered\":true} ";
const std::string kEvent = "id: 0000000000000001.2\ndata: x\n\n";

}  // namespace

TEST("a dialer's subscribers are open when they receive their position, and it counts messages") {
  Dialing dialing;
  MuteServer server;
  EXPECT(dialing.dialer.subscribe(subscribe_to(DialTransport::kSse)));
  EXPECT(dialing.dial(20, server.socket.port()) == nullptr);
  const auto all_requested = [&] {
    server.accept_all();
    return server.requests() == 20;
  };
  if (!EXPECT(unit::run_until(dialing.loop(), all_requested))) return;
  EXPECT_EQUAL(dialing.progress.opened, 0U);
  answer_all(&server, kSseHead);
  if (!EXPECT(dialing.finishes(DialPhase::kOpen))) return;
  EXPECT_EQUAL(dialing.progress.opened, 20U);
  for (const int fd : server.fds) EXPECT(sys::send(fd, kEvent.data(), kEvent.size()).bytes > 0);
  const auto all_received = [&] {
    dialing.control.flush();
    dialing.peer.receive([&](const FrameView& view) { dialing.take(view); });
    return dialing.progress.received == 20;
  };
  if (!EXPECT(unit::run_until(dialing.loop(), all_received))) return;
  dialing.dialer.gather({1});
  if (!EXPECT(dialing.finishes(DialPhase::kGather))) return;
  EXPECT_EQUAL(dialing.delivery.count, 20U);
  EXPECT(dialing.delivery.last_ns >= dialing.delivery.first_ns);
}

TEST("a dialer's subscribers resume after their last message, and retry when rejected") {
  Dialing dialing;
  MuteServer server;
  frame::Subscribe order = subscribe_to(DialTransport::kSse);
  order.channels = 2;
  order.first = 7;
  EXPECT(dialing.dialer.subscribe(order));
  EXPECT(dialing.dial(3, server.socket.port()) == nullptr);
  const auto all_requested = [&] {
    server.accept_all();
    return server.requests() == 3;
  };
  if (!EXPECT(unit::run_until(dialing.loop(), all_requested))) return;
  std::string requests = answer_all(&server, kSseHead + kEvent);
  EXPECT_EQUAL(count_of(requests, "channel=c1 HTTP"), 2U);
  EXPECT_EQUAL(count_of(requests, "channel=c0 HTTP"), 1U);
  if (!EXPECT(dialing.finishes(DialPhase::kOpen))) return;
  server.drop_all();
  EXPECT(dialing.dialer.reconnect({1}));
  if (!EXPECT(unit::run_until(dialing.loop(), all_requested))) return;
  requests = answer_all(&server, "HTTP/1.1 503 Busy\r\n\r\n");
  EXPECT_EQUAL(count_of(requests, "&since=0000000000000001.2 "), 3U);
  server.drop_all();
  if (!EXPECT(unit::run_until(dialing.loop(), all_requested))) return;
  requests = answer_all(&server, kSseHead + kEvent);
  EXPECT_EQUAL(count_of(requests, "&since=0000000000000001.2 "), 3U);
  if (!EXPECT(dialing.finishes(DialPhase::kOpen))) return;
  EXPECT_EQUAL(dialing.progress.opened, 3U);
  EXPECT_EQUAL(dialing.progress.failed, 0U);
  EXPECT_EQUAL(dialing.progress.received, 6U);
  EXPECT_EQUAL(dialing.failures_of(bounds::kHttpFailure + 503), 3U);
}

TEST("a dialer opens connections between the events of a long loop iteration") {
  Dialing dialing;
  MuteServer server;
  EXPECT(dialing.dialer.subscribe(subscribe_to(DialTransport::kSse)));
  constexpr uint32_t kAll = 1000;
  EXPECT(dialing.dial(kAll, server.socket.port()) == nullptr);
  uint32_t iterations = 0;
  for (size_t answered = 0; server.fds.size() < kAll && iterations < kAll; ++iterations) {
    ev_run(dialing.loop(), EVRUN_NOWAIT);
    server.accept_all();
    for (size_t at = 0; at < server.fds.size(); ++at) {
      const std::string& text = at < answered ? kEvent : kSseHead;
      EXPECT(sys::send(server.fds[at], text.data(), text.size()).bytes == text.size());
    }
    answered = server.fds.size();
  }
  // With messages for 512 subscribers, an iteration opens connections three times.
  EXPECT(iterations <= kAll / bounds::kDialBatchMax * 3 / 4);
}

TEST("a dialer reopens a poll whose connection is closed while others reconnect") {
  Dialing dialing;
  MuteServer server;
  EXPECT(dialing.dialer.subscribe(subscribe_to(DialTransport::kPoll)));
  frame::Dial order = dialing.order(3, server.socket.port());
  order.rate_milli = 20'000;
  EXPECT(dialing.dialer.dial(order, sys::open_descriptors()) == nullptr);
  const auto all_requested = [&] {
    server.accept_all();
    return server.requests() == 3;
  };
  if (!EXPECT(unit::run_until(dialing.loop(), all_requested))) return;
  answer_all(&server, kPollAnswer);
  if (!EXPECT(dialing.finishes(DialPhase::kOpen))) return;
  server.drop_all();
  EXPECT(dialing.dialer.reconnect({1}));
  const auto first_requested = [&] {
    server.accept_all();
    return server.requests() == 1;
  };
  if (!EXPECT(unit::run_until(dialing.loop(), first_requested))) return;
  server.drop_all();
  if (!EXPECT(unit::run_until(dialing.loop(), all_requested))) return;
  const std::string requests = answer_all(&server, "");
  EXPECT_EQUAL(count_of(requests, "&since=0000000000000001.2"), 3U);
  if (!EXPECT(dialing.finishes(DialPhase::kOpen))) return;
  EXPECT_EQUAL(dialing.progress.opened, 3U);
  EXPECT_EQUAL(dialing.progress.lost, 0U);
}

TEST("a dialer counts rejections by their status, and other protocols as EBADMSG") {
  for (const auto& [text, cause] :
       {std::pair<std::string, int>{"HTTP/1.1 503 Busy\r\n\r\n", bounds::kHttpFailure + 503},
        std::pair<std::string, int>{"SSH-2.0\r\n", EBADMSG}}) {
    Dialing dialing;
    MuteServer server;
    EXPECT(dialing.dialer.subscribe(subscribe_to(DialTransport::kWebSocket)));
    EXPECT(dialing.dial(5, server.socket.port()) == nullptr);
    const auto all_requested = [&, wanted = &server] {
      wanted->accept_all();
      return wanted->requests() == 5;
    };
    if (!EXPECT(unit::run_until(dialing.loop(), all_requested))) return;
    answer_all(&server, text);
    if (!EXPECT(dialing.finishes(DialPhase::kOpen))) return;
    EXPECT_EQUAL(dialing.progress.opened, 0U);
    EXPECT_EQUAL(dialing.progress.failed, 5U);
    EXPECT_EQUAL(dialing.failures_of(cause), 5U);
  }
}

TEST("a dialer rejects an unknown transport") {
  Dialing dialing;
  frame::Subscribe order;
  order.transport = 9;
  EXPECT(!dialing.dialer.subscribe(order));
}
