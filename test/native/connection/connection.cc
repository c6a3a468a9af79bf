// Tests of the connection's states: every move of the table, and that all others abort.
#include "connection/connection.h"

#include <set>
#include <utility>

#include "support/unit.h"

using namespace megacomet;

namespace {

using State = ConnectionState;
constexpr State kStates[] = {State::kFree, State::kOpen, State::kOwing};

const std::set<std::pair<State, State>> kLegal = {
    {State::kFree, State::kOpen},
    {State::kOpen, State::kOwing},
    {State::kOpen, State::kFree},
    {State::kOwing, State::kOpen},
    {State::kOwing, State::kFree},
};

}  // namespace

TEST("a connection makes the moves of its table, and aborts on any other") {
  Outbox outbox(1);
  for (const State from : kStates) {
    for (const State to : kStates) {
      Connection connection{};
      connection.state = from;
      connection.outbox = to == State::kOwing ? &outbox : nullptr;
      if (kLegal.count({from, to}) == 1) {
        change_state(&connection, to);
        EXPECT(connection.state == to);
      } else {
        EXPECT(unit::aborts([&] { change_state(&connection, to); }));
      }
    }
  }
}

TEST("a connection aborts when it owes without an outbox, or has one without owing") {
  Outbox outbox(1);
  Connection connection{};
  connection.state = State::kOpen;
  EXPECT(unit::aborts([&] { change_state(&connection, State::kOwing); }));
  connection.outbox = &outbox;
  EXPECT(unit::aborts([&] { change_state(&connection, State::kFree); }));
}
