// Tests of the echo load: messages, partial writes and reads, and wrong echoes, without a socket.
#include "dialer/echo_load.h"

#include <algorithm>
#include <string>

#include "base/bounds.h"
#include "support/unit.h"

using namespace megacomet;

namespace {

Dialed idle(int fd) {
  Dialed dialed{};
  dialed.watcher.fd = fd;
  dialed.state = DialState::kIdle;
  return dialed;
}

EchoResult receive(EchoLoad* load, Dialed* dialed, const std::string& text) {
  return load->add_received(dialed, reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

/// Sends the whole message, and returns it.
std::string send_all(EchoLoad* load, Dialed* dialed) {
  const std::string text(load->unsent(*dialed));
  load->add_sent(dialed, text.size());
  EXPECT(load->is_sent(*dialed));
  return text;
}

}  // namespace

TEST("a message is complete when every byte of its echo has arrived, in any parts") {
  EchoLoad load;
  load.begin_exchange(1000, 50);
  Dialed dialed = idle(3);
  load.begin_message(&dialed, 7);
  EXPECT(dialed.state == DialState::kAwaitingEcho);
  EXPECT_EQUAL(dialed.began_us, 7U);
  EXPECT_EQUAL(load.waiting(), 1U);
  const std::string whole(load.unsent(dialed));
  EXPECT_EQUAL(whole.size(), 1000U);
  load.add_sent(&dialed, 400);
  EXPECT(!load.is_sent(dialed));
  EXPECT(load.unsent(dialed) == whole.substr(400));
  EXPECT(receive(&load, &dialed, whole.substr(0, 300)) == EchoResult::kPartial);
  load.add_sent(&dialed, 600);
  EXPECT(load.is_sent(dialed));
  EXPECT(receive(&load, &dialed, whole.substr(300)) == EchoResult::kComplete);
  EXPECT(dialed.state == DialState::kIdle);
  EXPECT_EQUAL(load.waiting(), 0U);
}

TEST("bytes that differ, too many bytes, and bytes without a message are a wrong echo") {
  EchoLoad load;
  load.begin_exchange(100, 50);
  Dialed dialed = idle(3);
  EXPECT(receive(&load, &dialed, "x") == EchoResult::kWrong);
  load.begin_message(&dialed, 0);
  const std::string whole(load.unsent(dialed));
  // Nothing is sent yet.
  EXPECT(receive(&load, &dialed, whole.substr(0, 1)) == EchoResult::kWrong);
  load.add_sent(&dialed, 100);
  EXPECT(receive(&load, &dialed, whole + "x") == EchoResult::kWrong);
  std::string wrong = whole;
  wrong[99] = static_cast<char>(~wrong[99]);
  EXPECT(receive(&load, &dialed, wrong) == EchoResult::kWrong);
  EXPECT_EQUAL(load.waiting(), 1U);
  load.abandon();
  EXPECT_EQUAL(load.waiting(), 0U);
}

TEST("a verified connection sends a byte of its own") {
  EchoLoad load;
  load.begin_verify();
  Dialed one = idle(3);
  Dialed other = idle(4);
  load.begin_message(&one, 0);
  load.begin_message(&other, 0);
  const std::string byte_of_one = send_all(&load, &one);
  const std::string byte_of_other = send_all(&load, &other);
  EXPECT_EQUAL(byte_of_one.size(), 1U);
  EXPECT(byte_of_one != byte_of_other);
  EXPECT(receive(&load, &one, byte_of_other) == EchoResult::kWrong);
  EXPECT(receive(&load, &other, byte_of_other) == EchoResult::kComplete);
}

TEST("a verification is full at its limit of unanswered bytes") {
  EchoLoad load;
  load.begin_verify();
  std::vector<Dialed> all(bounds::kVerifyInFlightMax, idle(3));
  for (Dialed& dialed : all) {
    EXPECT(!load.is_full());
    load.begin_message(&dialed, 0);
  }
  EXPECT(load.is_full());
  load.abandon();
  EXPECT(!load.is_full());
}

TEST("an exchange ends at its time, and a verification has none") {
  EchoLoad load;
  load.begin_exchange(1, 50);
  EXPECT(load.is_exchanging(49));
  EXPECT(!load.is_exchanging(50));
  load.begin_verify();
  EXPECT(!load.is_exchanging(0));
}
