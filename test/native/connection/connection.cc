// Tests of the states of a connection: every move of the table is legal, and all others abort.
#include "connection/connection.h"

#include <set>
#include <utility>

#include "connection/session.h"
#include "support/unit.h"

using namespace megacomet;

namespace {

using State = ConnectionState;
constexpr State kStates[] = {State::kFree, State::kOpen, State::kSubscribed, State::kBusy};

const std::set<std::pair<State, State>> kLegal = {
    {State::kFree, State::kOpen},
    {State::kOpen, State::kSubscribed},
    {State::kOpen, State::kBusy},
    {State::kOpen, State::kFree},
    {State::kSubscribed, State::kOpen},
    {State::kSubscribed, State::kBusy},
    {State::kSubscribed, State::kFree},
    {State::kBusy, State::kOpen},
    {State::kBusy, State::kSubscribed},
    {State::kBusy, State::kFree},
};

}  // namespace

TEST("a connection makes the moves of its table, and aborts on any other") {
  Session session;
  for (const State from : kStates) {
    for (const State to : kStates) {
      Connection connection{};
      connection.state = from;
      connection.session = to == State::kBusy ? &session : nullptr;
      if (kLegal.count({from, to}) == 1) {
        change_state(&connection, to);
        EXPECT(connection.state == to);
      } else {
        EXPECT(unit::aborts([&] { change_state(&connection, to); }));
      }
    }
  }
}

TEST("a connection aborts when it is busy without a session, or has one and is not busy") {
  Session session;
  Connection connection{};
  connection.state = State::kOpen;
  EXPECT(unit::aborts([&] { change_state(&connection, State::kBusy); }));
  connection.session = &session;
  EXPECT(unit::aborts([&] { change_state(&connection, State::kFree); }));
}

TEST("a connection with queued output cannot leave its session") {
  Connection connection{};
  connection.state = State::kBusy;
  connection.is_blocked = true;
  EXPECT(unit::aborts([&] { change_state(&connection, State::kOpen); }));
}

TEST("a connection is found by its name until its record has another occupant") {
  Slab<Connection> connections;
  EXPECT(connections.map(100));
  Connection* connection = connections.occupy(7);
  connection->watcher.fd = 7;
  connection->generation = 3;
  connection->state = State::kOpen;
  const ConnectionName name = name_of(*connection);
  EXPECT(find_connection(&connections, name) == connection);
  EXPECT(find_connection(&connections, {7, 4}) == nullptr);
  EXPECT(find_connection(&connections, {8, 3}) == nullptr);
  EXPECT(find_connection(&connections, {UINT32_MAX, 3}) == nullptr);
  connections.release(7);
  EXPECT(find_connection(&connections, name) == nullptr);
  EXPECT(find_connection(&connections, {0, 0}) == nullptr);
}
