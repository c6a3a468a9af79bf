// Tests of the budget of incomplete requests: counted to the byte, and never exceeded.
#include "connection/input_budget.h"

#include <memory>
#include <string>
#include <vector>

#include "connection/session.h"
#include "support/unit.h"

using namespace megacomet;

namespace {

struct World {
  World() : block(std::make_unique<Block>()), budget(&counters) { counters.attach(block.get()); }

  [[nodiscard]] uint64_t bytes() const { return counters.get(Counter::kInputBudgetBytes); }
  [[nodiscard]] uint64_t rejections() const { return counters.get(Counter::kInputBudgetFullTotal); }

  std::unique_ptr<Block> block;
  Counters counters;
  InputBudget budget;
};

}  // namespace

TEST("parts of a request are appended, and taken together") {
  World world;
  world.budget.set_bytes_max(100);
  Session session;
  EXPECT(world.budget.keep("GET /po", &session.input));
  EXPECT(world.budget.keep("ll?", &session.input));
  EXPECT_EQUAL(world.bytes(), 10U);
  EXPECT(session.is_needed());
  EXPECT(world.budget.take(&session.input) == "GET /poll?");
  EXPECT(session.input.empty() && !session.is_needed());
  EXPECT_EQUAL(world.bytes(), 0U);
  EXPECT(world.budget.take(&session.input).empty());
}

TEST("the budget can be used to its last byte, and more is rejected and counted") {
  World world;
  world.budget.set_bytes_max(20);
  std::string one;
  std::string other;
  EXPECT(world.budget.keep(std::string(15, 'x'), &one));
  EXPECT(!world.budget.keep("123456", &other));
  EXPECT(other.empty());
  EXPECT_EQUAL(world.rejections(), 1U);
  EXPECT(world.budget.keep("12345", &other));
  EXPECT_EQUAL(world.bytes(), 20U);
  EXPECT(world.budget.keep("", &other));
  EXPECT(!world.budget.keep("6", &other));
  EXPECT(other == "12345");
  EXPECT_EQUAL(world.rejections(), 2U);
  EXPECT(world.budget.take(&one).size() == 15);
  EXPECT(world.budget.keep("6", &other));
  EXPECT_EQUAL(world.bytes(), 6U);
}

TEST("the count equals the bytes of all sessions when they keep, take and forget") {
  World world;
  world.budget.set_bytes_max(5000);
  std::vector<std::unique_ptr<Session>> sessions(20);
  for (auto& session : sessions) session = std::make_unique<Session>();
  for (int step = 0; step < 20'000; ++step) {
    std::unique_ptr<Session>& session = sessions[unit::upto(sessions.size() - 1)];
    std::string* kepts[] = {&session->input, &session->message, nullptr};
    std::string* kept = kepts[unit::upto(2)];
    if (kept == nullptr) kept = &session->waiting.emplace_back();
    const uint64_t dice = unit::upto(9);
    const std::string bytes(unit::upto(300), 'x');
    if (dice == 0) {
      world.budget.forget(session->input_budget_bytes());
      session = std::make_unique<Session>();
    } else if (dice < 3) {
      EXPECT(world.budget.take(kept).size() <= 5000);
    } else {
      static_cast<void>(world.budget.keep(bytes, kept));
    }
    uint64_t sum = 0;
    for (const auto& one : sessions) sum += one->input_budget_bytes();
    if (!EXPECT_EQUAL(world.bytes(), sum) || !EXPECT(sum <= 5000)) return;
  }
  EXPECT(world.rejections() > 0);
}
