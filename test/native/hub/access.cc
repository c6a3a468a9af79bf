// Tests of the identities of connections: given, changed, limited and ended.
#include "hub/access.h"

#include <memory>
#include <string>
#include <vector>

#include "support/access_frames.h"
#include "support/hub_parts.h"
#include "support/unit.h"

using namespace megacomet;
using unit::HubParts;
using unit::token_of;
using Names = std::vector<std::string>;

namespace {

struct World {
  explicit World(bool has_tokens = true) {
    EXPECT(access.reserve(100));
    EXPECT(access.configure(has_tokens ? unit::access_of({unit::kTokenSecret}) : frame::Access()));
  }
  ~World() {
    for (int fd = 0; fd < 100; ++fd) {
      Connection* connection = parts.connections.at(fd);
      if (connection->state != ConnectionState::kFree) access.forget(connection);
    }
  }

  /// A connection with the identity of a token.
  Connection* open(int fd, std::string_view members) {
    Connection* connection = parts.open(fd);
    EXPECT(access.identify(connection, token_of(members), &channels) == TokenFault::kNone);
    return connection;
  }
  Connection* open_decided(int fd, const frame::HookAnswer& answer) {
    Connection* connection = parts.open(fd);
    EXPECT(access.identify_as(connection, answer, &channels) == TokenFault::kNone);
    return connection;
  }
  void limit_users(uint32_t connections) {
    frame::Limits limits;
    limits.user_connections = connections;
    EXPECT(memory.create("limits"));
    EXPECT(parts.limits.configure(limits, memory->limits));
  }
  [[nodiscard]] bool is_closed(int fd, CloseCause cause) const {
    const auto found = parts.owner.closed.find(fd);
    return found != parts.owner.closed.end() && found->second == cause;
  }

  HubParts parts;
  SharedPage<WorkersMemory> memory;
  Access& access = parts.access;
  Names channels;
};

}  // namespace

TEST("a connection gets the user, the channels and the end of its token, and loses them with it") {
  World world;
  Connection* one = world.open(5, R"("sub":"ada","info":{"a":1},"channels":["a","b"])");
  EXPECT(world.channels == Names({"a", "b"}));
  EXPECT(world.access.has_identity(one) && !world.access.is_by_decision(one));
  EXPECT(world.access.user(one) == "ada");
  EXPECT(world.access.info_of(world.access.identity(*one)) == R"({"a":1})");
  EXPECT(world.access.ends_in_s(one) > 3000 && world.access.ends_in_s(one) <= 3600);
  EXPECT(world.access.allows(one, Action::kSubscribe, "a"));
  EXPECT(!world.access.allows(one, Action::kSubscribe, "c"));
  EXPECT_EQUAL(world.parts.count(Counter::kTokensAcceptedTotal), 1U);
  world.access.forget(one);
  EXPECT(!world.access.has_identity(one) && world.access.user(one).empty());
  EXPECT(!world.access.allows(one, Action::kSubscribe, "a"));
}

TEST("each reason to reject a token has a counter, and the connection stays without identity") {
  struct Case {
    std::string token;
    TokenFault fault;
    Counter counter;
  };
  const std::string other(32, 'o');
  const std::string header = unit::base64url(R"({"alg":"ES256"})");
  const std::vector<Case> cases = {
      {"x", TokenFault::kMalformed, Counter::kTokensRejectedOtherTotal},
      {token_of(R"("sub":"ada")", other), TokenFault::kSignature, Counter::kTokensRejectedKeyTotal},
      {header + ".e30." + unit::base64url(std::string(64, 'x')),
       TokenFault::kAlgorithm,
       Counter::kTokensRejectedKeyTotal},
      {unit::hs256_token(unit::kTokenSecret, R"({"exp":1})"),
       TokenFault::kExpired,
       Counter::kTokensRejectedExpiredTotal},
  };
  for (const auto& [token, fault, counter] : cases) {
    World world;
    Connection* connection = world.parts.open(5);
    EXPECT(world.access.identify(connection, token, &world.channels) == fault);
    EXPECT(!world.access.has_identity(connection));
    EXPECT_EQUAL(world.parts.count(counter), 1U);
    EXPECT_EQUAL(world.parts.count(Counter::kTokensRejectedTotal), 1U);
    EXPECT_EQUAL(world.parts.count(Counter::kTokensAcceptedTotal), 0U);
  }
}

TEST("a server without keys believes no token") {
  World world(false);
  Connection* connection = world.parts.open(5);
  EXPECT(!world.access.takes_tokens());
  EXPECT(world.access.identify(connection, token_of(R"("sub":"ada")"), &world.channels) ==
         TokenFault::kUnknownKey);
}

TEST("a refresh keeps the user, and names the subscribed channels that lost their grant") {
  World world;
  for (const char* name : {"a", "b", "c"}) {
    world.parts.channels.at(world.parts.channels.open(name)).is_live = true;
  }
  Connection* one = world.open(5, R"("sub":"ada","channels":["a","b"])");
  world.parts.subscribe(one, {"a", "b"});
  world.parts.subscribe(one, {"c"});
  Names lost;
  EXPECT(world.access.refresh(one, token_of(R"("sub":"bob")"), &lost) == TokenFault::kUser);
  EXPECT(lost.empty() && world.access.allows(one, Action::kSubscribe, "a"));
  EXPECT(world.access.refresh(one, token_of(R"("sub":"ada","channels":["b"])"), &lost) ==
         TokenFault::kNone);
  EXPECT(lost == Names({"a"}));
  EXPECT(world.access.user(one) == "ada");
  EXPECT(!world.access.allows(one, Action::kSubscribe, "a"));
}

TEST("a token for one channel needs an identity, and is for its user alone") {
  World world;
  const std::string for_all = token_of(R"("channel":"a")");
  const std::string for_ada = token_of(R"("channel":"b","sub":"ada")");
  Connection* stranger = world.parts.open(4);
  EXPECT(world.access.admit(stranger, for_all, &world.channels) == TokenFault::kUser);
  Connection* ada = world.open(5, R"("sub":"ada")");
  Connection* bob = world.open(6, R"("sub":"bob")");
  EXPECT(world.access.admit(ada, for_all, &world.channels) == TokenFault::kNone);
  EXPECT(world.access.admit(ada, for_ada, &world.channels) == TokenFault::kNone);
  EXPECT(world.channels == Names({"a", "b"}));
  EXPECT(world.access.admit(bob, for_ada, &world.channels) == TokenFault::kUser);
  EXPECT(world.access.admit(ada, token_of(R"("sub":"ada")"), &world.channels) ==
         TokenFault::kPurpose);
  EXPECT_EQUAL(world.channels.size(), 2U);
}

TEST("a user has a limit of connections, by tokens and decisions together") {
  World world;
  world.limit_users(2);
  frame::HookAnswer decision;
  decision.user = "ada";
  world.open(5, R"("sub":"ada")");
  Connection* second = world.open_decided(6, decision);
  Connection* third = world.parts.open(7);
  EXPECT(world.access.identify(third, token_of(R"("sub":"ada")"), &world.channels) ==
         TokenFault::kUserFull);
  EXPECT(world.access.identify_as(third, decision, &world.channels) == TokenFault::kUserFull);
  EXPECT(!world.access.has_identity(third));
  world.access.forget(second);
  EXPECT(world.access.identify_as(third, decision, &world.channels) == TokenFault::kNone);
  // Another token of the same user does not count again, and one without a user not at all.
  EXPECT(world.access.identify(third, token_of(R"("sub":"ada","jti":"x")"), &world.channels) ==
         TokenFault::kNone);
  world.open(8, R"("jti":"y")");
  world.open(9, R"("jti":"z")");
  world.open(10, R"("sub":"bob")");
}

TEST("after a recount the users of this worker have their connections again") {
  World world;
  world.limit_users(1);
  world.open(5, R"("sub":"ada")");
  world.parts.limits.recount(1, &world.parts.connections);
  world.access.recount_users();
  Connection* second = world.parts.open(6);
  EXPECT(world.access.identify(second, token_of(R"("sub":"ada")"), &world.channels) ==
         TokenFault::kUserFull);
}

TEST("a revocation ends the connections of its tokens, and rejects these tokens") {
  World world;
  const std::string text = token_of(R"("sub":"ada","jti":"x")");
  Connection* one = world.parts.open(5);
  EXPECT(world.access.identify(one, text, &world.channels) == TokenFault::kNone);
  world.open(6, R"("sub":"ada","jti":"y")");
  const auto now_s = static_cast<uint32_t>(sys::wall_s());
  EXPECT(world.access.revoke({"", "x", now_s, now_s + 1000}).empty());
  EXPECT(world.is_closed(5, CloseCause::kExpired));
  EXPECT_EQUAL(world.parts.owner.closed.size(), 1U);
  EXPECT(world.parts.owner.last_reason == "token: revoked");
  Connection* next = world.parts.open(7);
  EXPECT(world.access.identify(next, text, &world.channels) == TokenFault::kRevoked);
  EXPECT_EQUAL(world.parts.count(Counter::kTokensRejectedRevokedTotal), 1U);
  EXPECT(world.access.revoke({"ada", "", now_s, now_s + 1000}).empty());
  EXPECT(world.is_closed(6, CloseCause::kExpired));
}

TEST("the connections of a user can be ended, and its tokens stay valid") {
  World world;
  world.open(5, R"("sub":"ada")");
  world.open(6, R"("sub":"bob")");
  world.access.disconnect_user({"ada", "goodbye"});
  EXPECT(world.is_closed(5, CloseCause::kKicked) && world.parts.owner.closed.size() == 1);
  EXPECT(world.parts.owner.last_reason == "goodbye");
  world.open(7, R"("sub":"ada")");
}

TEST("an application's decision is an identity with its grants, until its time") {
  World world;
  frame::HookAnswer decision;
  decision.user = "ada";
  decision.channels = {"a"};
  decision.publish = {"b"};
  decision.expires_at_s = static_cast<uint32_t>(sys::wall_s()) + 1000;
  Connection* one = world.open_decided(5, decision);
  EXPECT(world.access.is_by_decision(one) && world.access.user(one) == "ada");
  EXPECT(world.channels == Names({"a"}));
  EXPECT(world.access.allows(one, Action::kSubscribe, "a"));
  EXPECT(!world.access.allows(one, Action::kSubscribe, "b"));
  EXPECT(world.access.ends_in_s(one) > 800 && world.access.ends_in_s(one) <= 1000);
  Names lost;
  decision.user = "bob";
  EXPECT(world.access.refresh_as(one, decision, &lost) == TokenFault::kUser);
  decision.user = "ada";
  decision.expires_at_s = 0;
  EXPECT(world.access.refresh_as(one, decision, &lost) == TokenFault::kNone);
  EXPECT_EQUAL(world.access.ends_in_s(one), 0U);
}

TEST("a signed URL gives its channels alone, and its end") {
  World world;
  frame::Access settings = unit::access_of({});
  settings.url_keys = {unit::base64url(std::string(32, 'k'))};
  EXPECT(world.access.configure(settings));
  EXPECT(world.access.takes_signed_urls() && !world.access.takes_tokens());
  // With 32 times "k", by Python's hmac module.
  const SignedUrl url{"/events\nchannel=a\nexpires=2000000000",
                      "5AZknpIZXD-tCblZwkqmel8t9Y_-yOjpFpiuQXcXUXo",
                      2'000'000'000};
  Connection* one = world.parts.open(5);
  EXPECT(world.access.identify_by_url(one, url, {"a"}) == UrlFault::kNone);
  EXPECT(world.access.allows(one, Action::kSubscribe, "a"));
  EXPECT(!world.access.allows(one, Action::kHistory, "a") && world.access.user(one).empty());
  EXPECT(world.access.ends_in_s(one) > 0);
  SignedUrl forged = url;
  forged.text.back() = '1';
  Connection* other = world.parts.open(6);
  EXPECT(world.access.identify_by_url(other, forged, {"b"}) == UrlFault::kSignature);
  EXPECT(!world.access.has_identity(other));
}

TEST("a server without rules of access gives no identity and ends no connection") {
  HubParts parts;
  Connection* one = parts.open(5);
  EXPECT(!parts.access.is_on() && !parts.access.has_identity(one));
  EXPECT_EQUAL(parts.access.identity(*one), 0U);
  EXPECT_EQUAL(parts.access.token(*one), 0U);
  EXPECT(parts.access.user(one).empty());
  EXPECT(parts.access.revoke({"ada", "", 1, 2}).empty());
  parts.access.disconnect_user({"ada", ""});
  parts.access.tick();
  parts.access.forget(one);
  EXPECT(parts.owner.closed.empty());
}

TEST("the revoked id of a token for one channel takes that channel from those that need it") {
  World world;
  const std::string first = token_of(R"("channel":"a","jti":"x","iat":1000)");
  const std::string second = token_of(R"("channel":"a","jti":"y")");
  Connection* one = world.open(5, R"("sub":"ada")");
  Connection* two = world.open(6, R"("sub":"ada")");
  Connection* granted = world.open(7, R"("sub":"ada","grants":{"subscribe":["a"]})");
  Connection* left = world.open(8, R"("sub":"bob")");
  for (Connection* connection : {one, two, granted, left}) {
    EXPECT(world.access.admit(connection, first, &world.channels) == TokenFault::kNone);
  }
  EXPECT(world.access.admit(two, second, &world.channels) == TokenFault::kNone);
  world.access.forget_channel(*left, "a");
  EXPECT(world.access.revoke({"", "x", 999, 2000000000}).empty());
  EXPECT(world.access.revoke({"", "z", 2000000000, 2000000000}).empty());
  const auto lost = world.access.revoke({"", "x", 2000000000, 2000000000});
  EXPECT_EQUAL(lost.size(), 1U);
  EXPECT(lost.begin()->first == "a");
  EXPECT_EQUAL(lost.begin()->second.size(), 1U);
  EXPECT_EQUAL(lost.begin()->second[0].fd, 5U);
  EXPECT(world.access.admit(one, first, &world.channels) == TokenFault::kRevoked);
  EXPECT(world.parts.owner.closed.empty());
  world.access.forget(two);
  EXPECT(world.access.revoke({"", "y", 2000000000, 2000000000}).empty());
}
