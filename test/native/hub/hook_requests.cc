// Tests of hook requests: bounded, and each is decided once.
#include "hub/hook_requests.h"

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/bounds.h"
#include "support/requests_world.h"
#include "support/unit.h"

using namespace megacomet;
using unit::answers;

namespace {

/// Called once, after a decision is recorded.
std::function<void(Connection*)> on_next;

void on_decision(Services&, Connection* connection, const HookDecision& decision) {
  std::string text = std::to_string(connection->fd());
  text += decision.answer.verdict == static_cast<uint8_t>(HookVerdict::kAllow) ? " yes" : " no";
  for (const std::string& channel : decision.channels) text += " " + channel;
  answers.push_back(text);
  // It may set another one.
  const auto call = std::exchange(on_next, nullptr);
  if (call) call(connection);
}

struct World : unit::RequestsWorld<HookRequests, &Protocol::on_decision, on_decision> {
  World() { on_next = nullptr; }
  ~World() { on_next = nullptr; }

  bool ask(Connection* connection, const std::string& channel) {
    frame::HookRequest hook_request;
    hook_request.action = static_cast<uint8_t>(HookAction::kSubscribe);
    hook_request.channels = {channel};
    return requests.ask(connection, std::move(hook_request));
  }
  void answer(uint32_t number, HookVerdict verdict = HookVerdict::kAllow) {
    frame::HookAnswer answer;
    answer.request = number;
    answer.verdict = static_cast<uint8_t>(verdict);
    requests.on_answer(std::move(answer));
  }
};

}  // namespace

TEST("a decision reaches the client that it is about, with its channels, and only once") {
  World world;
  EXPECT(world.ask(world.parts.open(5), "a"));
  EXPECT(world.ask(world.parts.open(6), "b"));
  world.answer(2, HookVerdict::kDeny);
  world.answer(2);
  world.answer(1);
  world.answer(0);
  world.answer(77);
  EXPECT(answers == std::vector<std::string>({"6 no b", "5 yes a"}));
  EXPECT_EQUAL(world.requests.waiting(), 0U);
  EXPECT_EQUAL(world.count(Counter::kHookRequestsTotal), 2U);
}

TEST("only the actions of the rules are asked about") {
  World world;
  EXPECT(!world.requests.asks_about(HookAction::kConnect));
  frame::Hooks rules;
  rules.actions = {static_cast<uint64_t>(HookAction::kRefresh), 99};
  world.requests.configure(rules);
  EXPECT(world.requests.asks_about(HookAction::kRefresh));
  EXPECT(!world.requests.asks_about(HookAction::kConnect));
  world.requests.configure({});
  EXPECT(!world.requests.asks_about(HookAction::kRefresh));
}

TEST("a worker has a limit for clients that wait, and asks nothing beyond it") {
  World world;
  Connection* connection = world.parts.open(5);
  for (size_t count = 0; count < bounds::kHookWaitingMax; ++count) {
    EXPECT(world.ask(connection, "a"));
  }
  EXPECT(!world.ask(world.parts.open(6), "b"));
  EXPECT_EQUAL(world.requests.waiting(), bounds::kHookWaitingMax);
  EXPECT_EQUAL(world.count(Counter::kHookWaitingFullTotal), 1U);
  world.answer(1);
  EXPECT(world.ask(world.parts.open(7), "c"));
}

TEST("a manager that does not read is not asked") {
  World world;
  world.fill_queue();
  EXPECT(!world.ask(world.parts.open(5), "a"));
  EXPECT_EQUAL(world.requests.waiting(), 0U);
  EXPECT_EQUAL(world.count(Counter::kHookWaitingFullTotal), 1U);
  EXPECT_EQUAL(world.count(Counter::kHookRequestsTotal), 0U);
}

TEST("a client without a decision in time is rejected, and a late decision changes nothing") {
  World world;
  world.requests.tick(65'534);
  EXPECT(world.ask(world.parts.open(5), "a"));
  // The tick wraps.
  world.requests.tick(static_cast<uint16_t>(65'534 + bounds::kHookWaitSeconds - 1));
  EXPECT(answers.empty());
  EXPECT(world.ask(world.parts.open(6), "b"));
  world.requests.tick(static_cast<uint16_t>(65'534 + bounds::kHookWaitSeconds));
  EXPECT(answers == std::vector<std::string>({"5 no a"}));
  EXPECT_EQUAL(world.requests.waiting(), 1U);
  world.answer(1);
  EXPECT_EQUAL(answers.size(), 1U);
  EXPECT_EQUAL(world.count(Counter::kHookUnansweredTotal), 1U);
}

TEST("a decision about a closed client is dropped, although its record is used again") {
  World world;
  Connection* connection = world.parts.open(5);
  EXPECT(world.ask(connection, "a"));
  EXPECT(world.ask(connection, "b"));
  world.close(connection);
  EXPECT(world.parts.open(5)->fd() == 5);
  world.answer(1);
  world.requests.tick(bounds::kHookWaitSeconds);
  EXPECT(answers.empty());
  EXPECT_EQUAL(world.requests.waiting(), 0U);
}

TEST("a client that is closing, and one whose protocol waits for nothing, get no decision") {
  World world;
  Connection* closing = world.parts.open(5);
  EXPECT(world.ask(closing, "a"));
  closing->is_closing = true;
  EXPECT(world.ask(world.parts.open(6, true), "b"));
  world.answer(1);
  world.answer(2);
  EXPECT(answers.empty());
}

TEST("a decision may lead to the next hook request, or close other clients that wait") {
  World world;
  Connection* one = world.parts.open(5);
  Connection* other = world.parts.open(6);
  EXPECT(world.ask(one, "a"));
  EXPECT(world.ask(other, "b"));
  on_next = [&](Connection* connection) {
    Connection* second = connection == one ? other : one;
    EXPECT(world.ask(connection, "next"));
    world.close(second);
  };
  world.requests.tick(bounds::kHookWaitSeconds);
  EXPECT_EQUAL(answers.size(), 1U);
  EXPECT_EQUAL(world.requests.waiting(), 1U);
  world.answer(3);
  EXPECT_EQUAL(answers.size(), 2U);
  EXPECT(answers.back().find(" yes next") != std::string::npos);
}
