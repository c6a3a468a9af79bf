// Tests of the subscriber load: requests, cursors, answers and counts, without a socket.
#include "dialer/subscriber_load.h"

#include <cerrno>
#include <string>

#include "base/bounds.h"
#include "support/unit.h"

using namespace megacomet;

namespace {

using Action = SubscriberStep::Action;

constexpr int kFd = 5;
constexpr uint32_t kIndex = 2;
constexpr uint64_t kNow = 1'000'000;

frame::Subscribe order_of(DialTransport transport) {
  frame::Subscribe order;
  order.transport = static_cast<uint8_t>(transport);
  order.awaits_cursor = 1;
  order.host = "localhost";
  order.channel = "c";
  return order;
}

/// A load with one subscriber, and the actions of its caller.
struct Subscriber {
  explicit Subscriber(DialTransport transport) : Subscriber(order_of(transport)) {}

  explicit Subscriber(const frame::Subscribe& order) {
    EXPECT(load.configure(order));
    EXPECT(load.reserve(16, 4));
    load.open(kFd, kIndex);
  }

  /// Reads all of a text, and returns the last step.
  SubscriberStep receive(const std::string& text) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(text.data());
    CometInput input{bytes, bytes + text.size()};
    while (true) {
      const SubscriberStep step = load.next(kFd, &input, !is_open, kNow);
      is_open = is_open || step.is_open;
      if (step.action == Action::kSend) sent += *step.text;
      if (step.action == Action::kWait || step.action == Action::kClose) return step;
    }
  }

  void reconnect() {
    load.close(kFd);
    load.reconnect(1);
    load.open(kFd, kIndex);
    is_open = false;
  }

  [[nodiscard]] bool resumes_at(const std::string& cursor) {
    return load.first_request(kFd).find("since=" + cursor + " ") != std::string::npos;
  }

  SubscriberLoad load;
  bool is_open = false;
  std::string sent;
};

const std::string kHead = "HTTP/1.1 200 OK\r\n\r\n";
const std::string kPosition = "id: 0000000000000001.1\n\n";
const std::string kEvent = "id: 0000000000000001.2\ndata: x\n\n";

std::string poll_answer(const std::string& body) {
  return "HTTP/1.1 200 OK\r\nMegacomet-Cursor: 0000000000000001.7\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\n\r\n" + body;
}

}  // namespace

TEST("a subscriber is open at its position, or at the head if none is expected") {
  Subscriber waits(DialTransport::kSse);
  waits.receive(kHead);
  EXPECT(!waits.is_open);
  waits.receive(kPosition);
  EXPECT(waits.is_open);
  frame::Subscribe order = order_of(DialTransport::kSse);
  order.awaits_cursor = 0;
  Subscriber opens(order);
  opens.receive(kHead);
  EXPECT(opens.is_open);
}

TEST("messages are counted with their delivery times") {
  Subscriber subscriber(DialTransport::kSse);
  subscriber.receive(kHead + kPosition + kEvent + kEvent);
  EXPECT_EQUAL(subscriber.load.messages(), 2U);
  EXPECT_EQUAL(subscriber.load.delivery_times().all().size(), 1U);
  EXPECT_EQUAL(subscriber.load.delivery_times().all()[0].count, 2U);
  EXPECT_EQUAL(subscriber.load.delivery_times().all()[0].first_ns, kNow);
}

TEST("a subscriber that reconnects resumes after its last message, or at its position") {
  Subscriber subscriber(DialTransport::kSse);
  EXPECT(subscriber.load.first_request(kFd).find("since") == std::string::npos);
  EXPECT_EQUAL(subscriber.load.index(kFd), kIndex);
  subscriber.receive(kHead + kPosition);
  subscriber.reconnect();
  EXPECT(subscriber.resumes_at("0000000000000001.1"));
  subscriber.receive(kHead + kEvent);
  EXPECT(subscriber.is_open);
  subscriber.reconnect();
  EXPECT(subscriber.resumes_at("0000000000000001.2"));
}

TEST("a subscriber without a position reconnects without a cursor") {
  Subscriber subscriber(DialTransport::kSse);
  subscriber.reconnect();
  EXPECT(subscriber.load.first_request(kFd).find("since") == std::string::npos);
  EXPECT(!subscriber.load.is_open_after_request(kFd));
}

TEST("a poll polls again from the position of each answer") {
  Subscriber subscriber(DialTransport::kPoll);
  EXPECT(subscriber.resumes_at("0000000000000000.0"));
  EXPECT(!subscriber.load.is_open_after_request(kFd));
  const std::string body = R"({"messages":[],"cursor":"0000000000000001.7","recovered":false})";
  EXPECT(subscriber.receive(poll_answer(body)).action == Action::kWait);
  EXPECT(subscriber.is_open);
  EXPECT(subscriber.sent.find("since=0000000000000001.7 ") != std::string::npos);
  // The first answer always reports a gap, because the first poll names an unknown position.
  EXPECT_EQUAL(subscriber.load.gaps(), 0U);
  subscriber.receive(poll_answer(body));
  EXPECT_EQUAL(subscriber.load.gaps(), 1U);
  subscriber.reconnect();
  EXPECT(subscriber.load.is_open_after_request(kFd));
}

TEST("a poll that is answered without news rests before the next one") {
  Subscriber subscriber(DialTransport::kPoll);
  const std::string none =
      "HTTP/1.1 204 No Content\r\nMegacomet-Cursor: 0000000000000001.7\r\n\r\n";
  subscriber.receive(none);
  EXPECT(subscriber.is_open);
  subscriber.sent.clear();
  const auto* bytes = reinterpret_cast<const uint8_t*>(none.data());
  CometInput input{bytes, bytes + none.size()};
  SubscriberStep step{Action::kContinue};
  while (step.action == Action::kContinue) {
    step = subscriber.load.next(kFd, &input, false, kNow);
  }
  EXPECT(step.action == Action::kRest);
  EXPECT(subscriber.load.next_poll(kFd).find("since=0000000000000001.7 ") != std::string::npos);
}

TEST("an answer without a cursor is not an answer to a poll, also after a right one") {
  const std::string page = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
  Subscriber stranger(DialTransport::kPoll);
  EXPECT_EQUAL(stranger.receive(page).cause, EBADMSG);
  EXPECT(!stranger.is_open);
  Subscriber subscriber(DialTransport::kPoll);
  subscriber.receive(poll_answer(R"({"messages":[]})"));
  EXPECT(subscriber.is_open);
  EXPECT_EQUAL(subscriber.receive(page).cause, EBADMSG);
}

TEST("a ping of a WebSocket is answered with a masked pong") {
  Subscriber subscriber(DialTransport::kWebSocket);
  subscriber.receive("HTTP/1.1 101 Switching Protocols\r\n\r\n");
  subscriber.receive(std::string("\x89\0", 2));
  EXPECT(subscriber.sent == std::string("\x8a\x80\0\0\0\0", 6));
}

TEST("a rejected subscription closes with its status, other bytes with EBADMSG") {
  Subscriber rejected(DialTransport::kSse);
  const SubscriberStep step = rejected.receive("HTTP/1.1 503 Busy\r\n\r\n");
  EXPECT(step.action == Action::kClose);
  EXPECT_EQUAL(step.cause, bounds::kHttpFailure + 503);
  Subscriber stranger(DialTransport::kSse);
  EXPECT_EQUAL(stranger.receive("SSH-2.0\r\n").cause, EBADMSG);
  Subscriber closed(DialTransport::kWebSocket);
  closed.receive("HTTP/1.1 101 Switching Protocols\r\n\r\n");
  const SubscriberStep end = closed.receive(std::string("\x88\0", 2));
  EXPECT(end.action == Action::kClose);
  EXPECT_EQUAL(end.cause, 0);
}

TEST("an unknown transport is rejected") {
  frame::Subscribe order;
  order.transport = 9;
  SubscriberLoad load;
  EXPECT(!load.configure(order));
  EXPECT(!load.is_on());
}
