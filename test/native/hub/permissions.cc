// Tests of the actions that a connection may take on a channel, for each source of a right.
#include "hub/permissions.h"

#include <string>
#include <vector>

#include "support/fake_owner.h"
#include "support/unit.h"

using namespace megacomet;

namespace {

struct Rule {
  std::string prefix;
  uint64_t flags;
  ClientPublish client_publish = ClientPublish::kServer;
};

struct World {
  World() {
    EXPECT(records.map(100));
    EXPECT(principals.reserve(100));
    connection = owner.open(5);
  }
  ~World() {
    principals.forget(5);
    records.release(5);
  }

  void set_namespaces(const std::vector<Rule>& wanted) {
    frame::Namespaces frame;
    for (const Rule& rule : wanted) {
      frame.prefixes.push_back(rule.prefix);
      frame.flags.push_back(rule.flags);
      frame.client_publish.push_back(static_cast<uint64_t>(rule.client_publish));
    }
    EXPECT(namespaces.configure(frame));
  }
  /// The connection has a token that grants one name for an action.
  void grant(Action action, const std::string& name) {
    Claims claims;
    claims.user = "ada";
    claims.grants[static_cast<size_t>(action)] = {name};
    KnownToken token;
    token.identity = principals.acquire(claims);
    principals.set(5, token, 0);
    principals.release(token.identity);
  }
  bool may(Action action, const std::string& name) {
    return permissions.allows(*connection, action, name);
  }

  Slab<Connection> records;
  unit::FakeOwner owner{&records};
  Connection* connection;
  Channels channels;
  Namespaces namespaces;
  frame::Comet rules;
  Principals principals;
  Permissions permissions{{&channels, &namespaces, &rules, &principals}};
};

using namespace_flag::kClientHistory;
using namespace_flag::kPresence;
using namespace_flag::kPrivate;
using namespace_flag::kPublic;

}  // namespace

TEST("without rules of access everybody may subscribe, and no client reads presence or history") {
  World world;
  EXPECT(world.may(Action::kSubscribe, "a") && world.may(Action::kSubscribe, "a/*"));
  EXPECT(!world.may(Action::kPresence, "a"));
  EXPECT(!world.may(Action::kHistory, "a"));
}

TEST("with rules of access only public and granted channels are open") {
  World world;
  world.permissions.set_publics({"news/*"});
  EXPECT(world.may(Action::kSubscribe, "news/1") && world.may(Action::kHistory, "news/1"));
  EXPECT(!world.may(Action::kSubscribe, "a") && !world.may(Action::kHistory, "a"));
  world.grant(Action::kSubscribe, "a");
  EXPECT(world.may(Action::kSubscribe, "a"));
  EXPECT(!world.may(Action::kHistory, "a"));
  world.grant(Action::kHistory, "a");
  EXPECT(world.may(Action::kHistory, "a") && !world.may(Action::kSubscribe, "a"));
}

TEST("a namespace that is public or private overrides the server, within a pattern as well") {
  World world;
  world.set_namespaces({{"open/", kPublic}, {"open/closed/", kPrivate}});
  EXPECT(world.may(Action::kSubscribe, "open/1"));
  EXPECT(!world.may(Action::kSubscribe, "open/closed/1"));
  EXPECT(!world.may(Action::kSubscribe, "open/*"));
  world.permissions.set_publics({});
  EXPECT(world.may(Action::kSubscribe, "open/1") && !world.may(Action::kSubscribe, "a"));
}

TEST("presence is public only where the namespace has it and no client has a user") {
  World world;
  world.set_namespaces({{"room/", kPublic | kPresence}, {"quiet/", kPublic}});
  EXPECT(world.may(Action::kPresence, "room/1"));
  EXPECT(!world.may(Action::kPresence, "quiet/1"));
  world.permissions.set_users(true);
  EXPECT(!world.may(Action::kPresence, "room/1"));
  world.permissions.set_publics({});
  world.grant(Action::kPresence, "room/1");
  EXPECT(world.may(Action::kPresence, "room/1") && !world.may(Action::kPresence, "room/2"));
}

TEST("a history is for clients only where its namespace, and each within a pattern, has one") {
  World world;
  world.set_namespaces({{"log/", kPublic | kClientHistory}, {"log/secret/", kPublic}});
  EXPECT(world.may(Action::kHistory, "log/1"));
  EXPECT(!world.may(Action::kHistory, "log/secret/1"));
  EXPECT(!world.may(Action::kHistory, "log/*"));
}

TEST("clients publish as the server says, unless the namespace says otherwise") {
  World world;
  EXPECT(world.permissions.client_publish("a") == ClientPublish::kNobody);
  EXPECT(!world.may(Action::kPublish, "a"));
  world.rules.flags = comet_flag::kClientsPublish;
  EXPECT(world.may(Action::kPublish, "a"));
  world.set_namespaces(
      {{"read/", 0, ClientPublish::kNobody}, {"grant/", 0, ClientPublish::kGrant}});
  EXPECT(!world.may(Action::kPublish, "read/1") && !world.may(Action::kPublish, "grant/1"));
  world.permissions.set_publics({});
  EXPECT(world.permissions.client_publish("a") == ClientPublish::kGrant);
  EXPECT(!world.may(Action::kPublish, "a"));
  world.grant(Action::kPublish, "*");
  EXPECT(world.may(Action::kPublish, "a") && world.may(Action::kPublish, "grant/1"));
  EXPECT(!world.may(Action::kPublish, "read/1"));
}

TEST("where subscribers may publish, a client publishes to its own channels alone") {
  World world;
  world.set_namespaces({{"chat/", 0, ClientPublish::kSubscribers}});
  EXPECT(!world.may(Action::kPublish, "chat/1"));
  world.connection->only.channel = world.channels.open("chat/1");
  world.connection->state = ConnectionState::kSubscribed;
  EXPECT(world.may(Action::kPublish, "chat/1"));
  EXPECT(!world.may(Action::kPublish, "chat/2"));
  world.permissions.set_publics({});
  world.grant(Action::kPublish, "chat/2");
  EXPECT(world.may(Action::kPublish, "chat/2"));
  world.connection->state = ConnectionState::kOpen;
}
