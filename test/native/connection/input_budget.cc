// Tests of what half-read requests take: counted to the byte, and never above the budget.
#include "connection/input_budget.h"

#include <memory>
#include <string>
#include <vector>

#include "connection/session.h"
#include "support/unit.h"

using namespace megacomet;

namespace {

struct World {
  World() : block(std::make_unique<Block>()), inbox(&counters) { counters.attach(block.get()); }

  [[nodiscard]] uint64_t bytes() const { return counters.get(Counter::kInputBudgetBytes); }
  [[nodiscard]] uint64_t refusals() const { return counters.get(Counter::kInputBudgetFullTotal); }

  std::unique_ptr<Block> block;
  Counters counters;
  InputBudget inbox;
};

}  // namespace

TEST("half a request waits in its place, behind what came before, and is taken as a whole") {
  World world;
  world.inbox.set_bytes_max(100);
  Session session;
  EXPECT(world.inbox.keep("GET /po", &session.input));
  EXPECT(world.inbox.keep("ll?", &session.input));
  EXPECT_EQUAL(world.bytes(), 10U);
  EXPECT(session.is_needed());
  EXPECT(world.inbox.take(&session.input) == "GET /poll?");
  EXPECT(session.input.empty() && !session.is_needed());
  EXPECT_EQUAL(world.bytes(), 0U);
  EXPECT(world.inbox.take(&session.input).empty());
}

TEST("the budget is full to its last byte, and whoever would take more is refused and counted") {
  World world;
  world.inbox.set_bytes_max(20);
  std::string one;
  std::string other;
  EXPECT(world.inbox.keep(std::string(15, 'x'), &one));
  EXPECT(!world.inbox.keep("123456", &other));
  EXPECT(other.empty());
  EXPECT_EQUAL(world.refusals(), 1U);
  EXPECT(world.inbox.keep("12345", &other));
  EXPECT_EQUAL(world.bytes(), 20U);
  EXPECT(world.inbox.keep("", &other));
  EXPECT(!world.inbox.keep("6", &other));
  EXPECT(other == "12345");
  EXPECT_EQUAL(world.refusals(), 2U);
  EXPECT(world.inbox.take(&one).size() == 15);
  EXPECT(world.inbox.keep("6", &other));
  EXPECT_EQUAL(world.bytes(), 6U);
}

TEST("whatever sessions keep, take and leave behind, the sum is that of their bytes") {
  World world;
  world.inbox.set_bytes_max(5000);
  std::vector<std::unique_ptr<Session>> sessions(20);
  for (auto& session : sessions) session = std::make_unique<Session>();
  for (int step = 0; step < 20'000; ++step) {
    std::unique_ptr<Session>& session = sessions[unit::upto(sessions.size() - 1)];
    std::string* places[] = {&session->input, &session->message, nullptr};
    std::string* place = places[unit::upto(2)];
    if (place == nullptr) place = &session->waiting.emplace_back();
    const uint64_t dice = unit::upto(9);
    const std::string bytes(unit::upto(300), 'x');
    if (dice == 0) {
      world.inbox.forget(session->input_budget_bytes());
      session = std::make_unique<Session>();
    } else if (dice < 3) {
      EXPECT(world.inbox.take(place).size() <= 5000);
    } else {
      static_cast<void>(world.inbox.keep(bytes, place));
    }
    uint64_t sum = 0;
    for (const auto& one : sessions) sum += one->input_budget_bytes();
    if (!EXPECT_EQUAL(world.bytes(), sum) || !EXPECT(sum <= 5000)) return;
  }
  EXPECT(world.refusals() > 0);
}
