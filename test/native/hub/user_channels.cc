// Tests of channels that the application gives to a user or takes away.
#include "hub/user_channels.h"

#include <algorithm>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "support/hub_parts.h"
#include "support/unit.h"

using namespace megacomet;
using unit::HubParts;

namespace {

std::vector<std::string> changes;
/// Called once, after a change is recorded.
std::function<void(Connection*)> on_next;

void on_channels(Services&, Connection* connection, const ChannelChange& change) {
  std::string text = std::to_string(connection->fd()) + (change.is_on ? " +" : " -");
  for (const std::string& channel : change.channels) text += channel;
  changes.push_back(text);
  // It may set another one.
  const auto call = std::exchange(on_next, nullptr);
  if (call) call(connection);
}

void on_replay(Services&, Connection*, const Replay&) {}

constexpr Protocol make_fixed() {
  Protocol protocol;
  protocol.on_replay = on_replay;
  return protocol;
}

constexpr Protocol make_changing() {
  Protocol protocol = make_fixed();
  protocol.on_channels = on_channels;
  return protocol;
}

constexpr Protocol kChanging = make_changing();
/// Its channels are those of its request.
constexpr Protocol kFixed = make_fixed();
const Protocol* const kProtocols[] = {&kChanging, &kFixed};

struct World {
  World() {
    changes.clear();
    on_next = nullptr;
    EXPECT(parts.access.reserve(100));
    EXPECT(parts.access.configure({}));
    for (const char* name : {"a", "b", "c"}) {
      parts.channels.at(parts.channels.open(name)).is_live = true;
    }
  }
  ~World() { on_next = nullptr; }

  Connection* open(int fd, const std::string& user, bool is_fixed = false) {
    Connection* connection = parts.open(fd, is_fixed);
    frame::HookAnswer answer;
    answer.user = user;
    std::vector<std::string> claimed;
    EXPECT(parts.access.identify_as(connection, answer, &claimed) == TokenFault::kNone);
    return connection;
  }

  HubParts parts{kProtocols};
  UserChannels users{{&parts.connections,
                      &parts.channels,
                      &parts.access,
                      &parts.owner,
                      &parts.services,
                      kProtocols,
                      &parts.crowd}};
};

}  // namespace

TEST("every connection of the user, and no other, gets the change") {
  World world;
  world.open(5, "ada");
  world.open(6, "bob");
  world.open(7, "ada");
  world.open(8, "");
  world.parts.open(9);
  world.users.change({"ada", {"a", "b"}, 1});
  EXPECT_EQUAL(changes.size(), 2U);
  EXPECT(std::count(changes.begin(), changes.end(), "5 +ab") == 1);
  EXPECT(std::count(changes.begin(), changes.end(), "7 +ab") == 1);
  changes.clear();
  world.users.change({"bob", {"c"}, 0});
  EXPECT(changes == std::vector<std::string>({"6 -c"}));
  changes.clear();
  world.users.change({"ad", {"a"}, 1});
  world.users.change({"Ada", {"a"}, 1});
  EXPECT(changes.empty());
}

TEST("a connection with fixed channels ends when it loses one of them, and only then") {
  World world;
  Connection* one = world.open(5, "ada", true);
  world.parts.subscribe(one, {"a"});
  Connection* two = world.open(6, "ada", true);
  world.parts.subscribe(two, {"b"});
  world.parts.subscribe(two, {"c"});
  world.open(7, "ada", true);
  Connection* other = world.open(8, "bob", true);
  world.parts.subscribe(other, {"a"});
  EXPECT(one->state == ConnectionState::kSubscribed && two->is_busy());
  world.users.change({"ada", {"a", "b", "c"}, 1});
  world.users.change({"ada", {"d"}, 0});
  EXPECT(world.parts.owner.closed.empty());
  world.users.change({"ada", {"d", "a"}, 0});
  EXPECT_EQUAL(world.parts.owner.closed.size(), 1U);
  EXPECT(world.parts.owner.closed[5] == CloseCause::kKicked);
  world.users.change({"ada", {"c"}, 0});
  EXPECT_EQUAL(world.parts.owner.closed.size(), 2U);
  EXPECT(world.parts.owner.closed[6] == CloseCause::kKicked);
}

TEST("a fixed channel counts while its replay has not ended") {
  World world;
  Connection* connection = world.open(5, "ada", true);
  world.parts.subscribe(connection, {"new"});
  EXPECT_EQUAL(world.parts.requests.size(), 1U);
  world.users.change({"ada", {"a"}, 0});
  EXPECT(world.parts.owner.closed.empty());
  world.users.change({"ada", {"new"}, 0});
  EXPECT(world.parts.owner.closed[5] == CloseCause::kKicked);
}

TEST("a change may close other connections of the user, whose records are used again") {
  World world;
  Connection* one = world.open(5, "ada");
  Connection* other = world.open(6, "ada");
  on_next = [&](Connection* connection) {
    Connection* second = connection == one ? other : one;
    const int fd = second->fd();
    world.parts.owner.close(second, CloseCause::kPeer);
    world.open(fd, "ada");
  };
  world.users.change({"ada", {"a"}, 1});
  EXPECT_EQUAL(changes.size(), 1U);
}

TEST("a closing connection gets no change") {
  World world;
  world.open(5, "ada")->is_closing = true;
  Connection* fixed = world.open(6, "ada", true);
  world.parts.subscribe(fixed, {"a"});
  fixed->is_closing = true;
  world.users.change({"ada", {"a"}, 0});
  EXPECT(changes.empty() && world.parts.owner.closed.empty());
}

TEST("without rules of access clients have no user") {
  HubParts parts{kProtocols};
  UserChannels users{{&parts.connections,
                      &parts.channels,
                      &parts.access,
                      &parts.owner,
                      &parts.services,
                      kProtocols,
                      &parts.crowd}};
  changes.clear();
  parts.open(5);
  users.change({"", {"a"}, 1});
  EXPECT(changes.empty());
}

TEST("connections lose the channel of a revoked token, and those with fixed channels end") {
  World world;
  Connection* changing = world.open(5, "ada");
  Connection* fixed = world.open(6, "ada", true);
  world.parts.subscribe(fixed, {"a"});
  Connection* elsewhere = world.open(7, "ada", true);
  world.parts.subscribe(elsewhere, {"b"});
  world.users.revoke("a", {name_of(*changing), name_of(*fixed), name_of(*elsewhere)});
  EXPECT(changes == std::vector<std::string>({"5 -a"}));
  EXPECT_EQUAL(world.parts.owner.closed.size(), 1U);
  EXPECT(world.parts.owner.closed[6] == CloseCause::kExpired);
  EXPECT(world.parts.owner.last_reason == "token: revoked");
}
