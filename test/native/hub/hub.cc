// Tests of a comet server's connections over real sockets; the test is the manager.
#include "hub/hub.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include <sys/socket.h>

#include "connection/sweep.h"
#include "support/comet_world.h"
#include "support/fixture.h"
#include "support/unit.h"

using namespace megacomet;
using unit::Client;

namespace {

constexpr char kRequest[] = "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n";

struct Quiet final : MidIterationHandler {
  void on_mid_iteration() override {}
};

struct Comet : unit::CometWorld {
  Comet() { transport->mid_iteration().set_handler(&quiet); }

  /// A client sends `count` requests and is answered, in a loop iteration that began at time 0.
  void hear(const Client& client, uint32_t count) {
    transport->mid_iteration().begin_iteration(0);
    for (; count > 0; --count) {
      client.write(kRequest);
      EXPECT(unit::run_until(loop.get(), [&] { return !client.read_now().empty(); }));
    }
  }

  Quiet quiet;
};

}  // namespace

TEST("a client accepted during a long loop iteration is answered at once, and others later") {
  Comet comet;
  const Client first(comet.socket.port());
  comet.register_fd(first, kRequest);
  EXPECT_EQUAL(comet.count(Counter::kRequestsTotal), 0U);
  EXPECT(unit::run_until(comet.loop.get(), [&] { return !first.read_now().empty(); }));
  // With the first request the number of events after which it reads the clock.
  comet.hear(first, bounds::kMidIterationEvents - 1);
  EXPECT_EQUAL(comet.count(Counter::kRequestsTotal), bounds::kMidIterationEvents);
  const Client second(comet.socket.port());
  comet.register_fd(second, kRequest);
  EXPECT_EQUAL(comet.count(Counter::kRequestsTotal), bounds::kMidIterationEvents + 1);
  EXPECT(!second.read_now().empty());
  // The next iteration is late too, and the one after that is not.
  comet.transport->mid_iteration().begin_iteration(sys::monotonic_ns());
  const Client third(comet.socket.port());
  comet.register_fd(third, kRequest);
  EXPECT(!third.read_now().empty());
  comet.transport->mid_iteration().begin_iteration(sys::monotonic_ns());
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
  EXPECT_EQUAL(comet.count(Counter::kConnections), 2U);
  Client gone(comet.socket.port());
  gone.half_close();
  comet.register_fd(gone, "");
  EXPECT_EQUAL(comet.count(Counter::kConnections), 2U);
  // The next client has its descriptor, and is watched.
  const Client next(comet.socket.port());
  comet.register_fd(next, std::string(kRequest).substr(0, 10));
  EXPECT_EQUAL(comet.count(Counter::kConnections), 3U);
  next.write(std::string(kRequest).substr(10));
  EXPECT(unit::run_until(comet.loop.get(), [&] { return !next.read_now().empty(); }));
}

TEST("a request that arrived in time but was not read is answered, and silent clients time out") {
  Comet comet;
  Sweep sweep(
      &comet.transport->connections(), &comet.transport->due_index(), comet.transport.get());
  sweep.set_on(true);
  const auto pass_seconds = [&](uint16_t now) {
    comet.transport->tick(now);
    sweep.tick(now);
  };
  const Client prompt(comet.socket.port());
  const Client slow(comet.socket.port());
  const Client silent(comet.socket.port());
  comet.register_fd(prompt, kRequest);
  comet.register_fd(slow, std::string(kRequest).substr(0, 10));
  comet.register_fd(silent, "");
  pass_seconds(10);
  EXPECT_EQUAL(comet.count(Counter::kConnections), 3U);
  // The loop has not run: only the sweep may read the sockets.
  EXPECT_EQUAL(comet.count(Counter::kRequestsTotal), 0U);
  pass_seconds(11);
  EXPECT(!prompt.read_now().empty());
  EXPECT_EQUAL(comet.count(Counter::kConnections), 1U);
  // One began its head, and one sent nothing.
  EXPECT_EQUAL(comet.count(Counter::kClosedHeadTimeoutTotal), 1U);
  EXPECT_EQUAL(comet.count(Counter::kClosedIdleTotal), 1U);
  pass_seconds(22);
  EXPECT_EQUAL(comet.count(Counter::kConnections), 0U);
}

namespace {

constexpr char kEvents[] = "GET /events?channel=a HTTP/1.1\r\nHost: a\r\n\r\n";
constexpr char kStream[] = "GET /stream?channel=a HTTP/1.1\r\nHost: a\r\n\r\n";
constexpr char kWebSocket[] =
    "GET /ws?channel=a HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

constexpr size_t kMessageBytes = 16'384;
constexpr size_t kQueuedBytes = 512 * 1024;

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

/// A world with one subscriber of the channel "a" that does not read.
struct Blocked : unit::CometWorld {
  explicit Blocked(const std::string& request) {
    // Inherited by the accepted socket.
    const int bytes = 4096;
    EXPECT_EQUAL(::setsockopt(socket.fd(), SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes), 0);
    client = std::make_unique<Client>(socket.port());
    register_fd(*client, request);
    EXPECT(unit::run_until(loop.get(), [&] {
      answer_replays();
      return count(Counter::kSubscriptions) == 1;
    }));
    // Far more than the send buffer accepts when the peer acknowledges some of it.
    for (int sent = 0; sent < 1000 && count(Counter::kSendQueueBytes) < kQueuedBytes; ++sent) {
      publish("a", std::string(kMessageBytes, 'x'));
    }
    EXPECT_EQUAL(count(Counter::kSendQueueConnections), 1U);
    EXPECT_EQUAL(count(Counter::kSubscriptions), 1U);
    hub->presence().observe({1});
  }

  /// The number of subscribers in the channel's list that the manager receives.
  [[nodiscard]] size_t listed() {
    hub->presence().answer({1, "a", UINT32_MAX});
    const std::vector<frame::Present> pages = sent<frame::Present>();
    return EXPECT_EQUAL(pages.size(), 1U) ? pages.front().members.size() / 3 : 0;
  }

  /// Checks that the disconnected subscriber has left, although its output is still queued.
  void expect_left() {
    EXPECT_EQUAL(count(Counter::kConnections), 1U);
    EXPECT_EQUAL(count(Counter::kSendQueueConnections), 1U);
    EXPECT_EQUAL(count(Counter::kSubscriptions), 0U);
    const std::vector<frame::Presence> events = sent<frame::Presence>();
    if (EXPECT_EQUAL(events.size(), 1U)) EXPECT_EQUAL(events.front().present, 0U);
    EXPECT_EQUAL(listed(), 0U);
    const uint64_t delivered = count(Counter::kDeliveredTotal);
    publish("a", "late");
    EXPECT_EQUAL(count(Counter::kDeliveredTotal), delivered);
  }

  /// All that the client receives until the server closes the connection.
  std::string read_all() {
    std::string text;
    EXPECT(unit::run_until(loop.get(), [&] {
      text += client->read_now();
      return client->has_end();
    }));
    EXPECT_EQUAL(count(Counter::kConnections), 0U);
    return text;
  }

  std::unique_ptr<Client> client;
};

/// Kicks a blocked subscriber, and checks that it leaves at once and receives every message that
/// was queued. Returns its output.
std::string kick_blocked(const std::string& request) {
  Blocked blocked(request);
  EXPECT_EQUAL(blocked.listed(), 1U);
  blocked.hub->on_kick({"a", "over"});
  blocked.expect_left();
  std::string text = blocked.read_all();
  const size_t head = text.find("\r\n\r\n");
  if (!EXPECT(head != std::string::npos)) return text;
  const auto body = text.begin() + static_cast<ptrdiff_t>(head);
  EXPECT_EQUAL(static_cast<size_t>(std::count(body, text.end(), 'x')),
               blocked.count(Counter::kDeliveredTotal) * kMessageBytes);
  EXPECT(text.find("late") == std::string::npos);
  return text;
}

}  // namespace

TEST("a blocked event stream that is kicked leaves its channels at once") {
  const std::string text = kick_blocked(kEvents);
  EXPECT(ends_with(text, "x\n\n"));
}

TEST("a blocked JSON stream that is kicked leaves its channels at once") {
  const std::string text = kick_blocked(kStream);
  EXPECT(ends_with(text, "x\"}\n"));
}

TEST("a blocked WebSocket that is kicked leaves its channels at once") {
  const std::string text = kick_blocked(kWebSocket);
  EXPECT(ends_with(text, "\x88\x06\x03\xf0over"));
}

TEST("a blocked subscriber whose client ends leaves its channels at once") {
  for (const char* request : {kEvents, kStream, kWebSocket}) {
    Blocked blocked(request);
    blocked.client->half_close();
    EXPECT(unit::run_until(blocked.loop.get(),
                           [&] { return blocked.count(Counter::kSubscriptions) == 0; }));
    blocked.expect_left();
    EXPECT(blocked.read_all().size() > kMessageBytes);
  }
}

namespace {

constexpr char kPoll[] = "GET /poll?channel=a HTTP/1.1\r\nHost: a\r\n\r\n";

/// A world with one idle subscriber of the channel "a" over each transport.
struct Subscribed : unit::CometWorld {
  Subscribed() {
    for (const char* request : {kEvents, kStream, kWebSocket, kPoll}) {
      clients.push_back(std::make_unique<Client>(socket.port()));
      register_fd(*clients.back(), request);
    }
    EXPECT(unit::run_until(loop.get(), [&] {
      answer_replays();
      return count(Counter::kSubscriptions) == clients.size();
    }));
  }

  /// Whether every client has received `text`.
  [[nodiscard]] bool all_received(const std::string& text) {
    texts.resize(clients.size());
    bool is_whole = true;
    for (size_t index = 0; index < clients.size(); ++index) {
      texts[index] += clients[index]->read_now();
      is_whole = is_whole && texts[index].find(text) != std::string::npos;
    }
    return is_whole;
  }

  std::vector<std::unique_ptr<Client>> clients;
  std::vector<std::string> texts;
};

}  // namespace

TEST("subscribers over every transport receive a message after 2^31 messages on other channels") {
  Subscribed world;
  world.publish("other", "x");
  world.skip_numbers((uint64_t{1} << 31U) + 10);
  world.publish("other", "x");
  world.publish("a", "after all");
  EXPECT(unit::run_until(world.loop.get(), [&] { return world.all_received("after all"); }));
}

TEST("subscribers over every transport hear of a loss once, and see the cursors of a new epoch") {
  Subscribed world;
  world.publish("a", "before", false);
  world.lose(41, 0xab);
  world.publish("a", "after");
  const std::string lost = "00000000000000ab.42";
  EXPECT(unit::run_until(world.loop.get(), [&] { return world.all_received("before"); }));
  world.texts.pop_back();
  world.clients.pop_back();
  EXPECT(unit::run_until(world.loop.get(), [&] { return world.all_received("after"); }));
  const std::string later = "00000000000000ab.43";
  const std::string wanted[] = {"id: " + lost + "\nevent: megacomet.lost\ndata: {\"cursor\":\"" +
                                    lost + "\"}\n\nid: " + later,
                                "{\"type\":\"lost\",\"cursor\":\"" + lost +
                                    "\"}\n{\"type\":\"message\",\"channel\":\"a\"," +
                                    "\"cursor\":\"" + later + "\"",
                                "{\"type\":\"lost\",\"cursor\":\"" + lost + "\"}"};
  for (size_t index = 0; index < world.texts.size(); ++index) {
    const std::string& text = world.texts[index];
    const size_t found = text.find(wanted[index]);
    EXPECT(found != std::string::npos && text.find("before") < found);
    EXPECT(text.find(lost, found + wanted[index].size()) == std::string::npos);
  }
  // The poll was answered with the message before the loss.
  EXPECT_EQUAL(world.count(Counter::kLossNoticesTotal), 3U);
  EXPECT_EQUAL(world.count(Counter::kDeliveredTotal), 7U);
}

TEST("a waiting poll is answered with a loss alone, also as JSONP") {
  Subscribed world;
  world.clients.push_back(std::make_unique<Client>(world.socket.port()));
  world.register_fd(*world.clients.back(),
                    "GET /poll?channel=a&callback=f HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT(unit::run_until(world.loop.get(), [&] {
    world.answer_replays();
    return world.count(Counter::kSubscriptions) == 5;
  }));
  world.lose(9, 1);
  while (world.hub->is_pumping()) static_cast<void>(world.hub->pump(UINT64_MAX));
  EXPECT(unit::run_until(world.loop.get(), [&] { return world.all_received("0000001.9"); }));
  const std::string batch =
      "{\"messages\":[],\"cursor\":\"0000000000000001.9\",\"recovered\":false}";
  EXPECT(ends_with(world.texts[3], "\r\n\r\n" + batch));
  EXPECT(ends_with(world.texts[4], "\r\n\r\n/**/f(" + batch + ");"));
  EXPECT(world.texts[3].find("Megacomet-Cursor: 0000000000000001.9\r\n") != std::string::npos);
}

TEST("a client with a cursor of before a loss or of the old epoch is one for the manager") {
  Subscribed world;
  world.publish("a", "kept");
  static_cast<void>(world.sent<frame::ReplayRequest>());
  const auto requests_of = [&](const std::string& since) {
    world.clients.push_back(std::make_unique<Client>(world.socket.port()));
    world.register_fd(*world.clients.back(),
                      "GET /events?channel=a&since=" + since + " HTTP/1.1\r\nHost: a\r\n\r\n");
    unit::run_for(world.loop.get(), 1);
    std::vector<frame::ReplayRequest> requests;
    EXPECT(unit::run_until(world.loop.get(), [&] {
      const auto more = world.sent<frame::ReplayRequest>();
      requests.insert(requests.end(), more.begin(), more.end());
      return !requests.empty() || !world.clients.back()->read_now().empty();
    }));
    return requests.size();
  };
  EXPECT_EQUAL(requests_of("0000000000000001.0"), 0U);
  world.lose(8, 1);
  EXPECT_EQUAL(requests_of("0000000000000001.0"), 1U);
  EXPECT_EQUAL(requests_of("0000000000000001.9"), 0U);
  // An epoch that begins without a loss.
  world.lose(0, 2);
  EXPECT_EQUAL(requests_of("0000000000000001.9"), 1U);
  EXPECT_EQUAL(requests_of("0000000000000002.9"), 0U);
  while (world.hub->is_pumping()) static_cast<void>(world.hub->pump(UINT64_MAX));
  // Each that was subscribed at the loss, and none because of the epoch alone.
  EXPECT_EQUAL(world.count(Counter::kLossNoticesTotal), 4U);
}

TEST("a message that was published before a kick arrives before the connection closes") {
  Subscribed world;
  world.publish("a", "last words", false);
  world.hub->on_kick({"a", "over"});
  EXPECT(unit::run_until(world.loop.get(), [&] { return world.all_received("last words"); }));
  EXPECT(
      unit::run_until(world.loop.get(), [&] { return world.count(Counter::kSubscriptions) == 0; }));
}

TEST("a message that was published before a drain arrives before the connection closes") {
  Subscribed world;
  world.publish("a", "last words", false);
  world.transport->connections().visit(
      0, world.transport->connections().capacity(), [&](Connection& connection) {
        if (connection.state == ConnectionState::kFree) return true;
        world.transport->disconnect(&connection, CloseCause::kDrain, {});
        return true;
      });
  EXPECT(unit::run_until(world.loop.get(), [&] { return world.all_received("last words"); }));
  EXPECT(
      unit::run_until(world.loop.get(), [&] { return world.count(Counter::kConnections) == 0; }));
}
